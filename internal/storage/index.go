package storage

import (
	"errors"
	"io"
	"os"
	"sort"

	"ottla/internal/vfs"
)

// index is a file of entries of one width that grows at its end: the common
// part of the offset, time and transaction index.
//
// The entries [0, written) are in the file, the newest ones are in tail, and
// the two overlap. So an index costs no memory when nobody appends to its
// segment: a reader searches the tail if there is one, then the file by pread,
// which the page cache answers in less than a microsecond. New entries are
// written in bulk (spill), not one by one.
//
// Rejected: mapping the file, as Kafka does. A page fault blocks the thread and
// not only the goroutine, a truncated file is a signal and not an error, and
// 20 MiB of address space for each of 10,000 partitions are reserved.
//
// Behind the written entries the file may hold more, from before a truncation
// or a restart: fileSize says so, and the next spill cuts it.
//
// count, written and tail are guarded by Log.mu and changed only under
// Log.write; the file is read without a lock.
type index struct {
	file     *file
	width    int
	count    int
	written  int
	tail     []byte
	fileSize int64
	// made tells that there is a file. It is made when first needed.
	made bool
	// unsynced tells that the file changed since it was last made durable,
	// unnamed that so did the folder.
	unsynced, unnamed bool
}

// The entries of the tail: spillEntries not yet written ones are written
// together (with entries every 4 KiB: each 1 MiB of log), keepEntries stay in
// memory for the readers near the end.
const (
	spillEntries = 256
	keepEntries  = 256
)

func (x *index) tailStart() int { return x.count - len(x.tail)/x.width }

// add appends an entry.
func (x *index) add(entry []byte) {
	x.tail = append(x.tail, entry...)
	x.count++
}

// inTail returns an entry by its number, which is at least tailStart.
func (x *index) inTail(i int) []byte {
	at := (i - x.tailStart()) * x.width
	return x.tail[at : at+x.width]
}

// searchTail returns the number of the first entry of the tail that is not
// before what is looked for; count if there is none.
func (x *index) searchTail(before func(entry []byte) bool) int {
	start := x.tailStart()
	return start + sort.Search(x.count-start, func(i int) bool { return !before(x.inTail(start + i)) })
}

// pageEntries is how many entries a search reads at once when few are left.
const pageEntries = 64

// searchFile returns the number of the first of n entries in the file that is
// not before what is looked for; the entry in front of it, if there is one, is
// copied into previous.
func (x *index) searchFile(n int, previous []byte, before func(entry []byte) bool) (int, error) {
	h, err := x.file.acquireWithin()
	if err != nil {
		return 0, err
	}
	defer x.file.release()
	page := x.file.files.pages.Get().(*[]byte)
	defer x.file.files.pages.Put(page)
	buf := (*page)[:pageEntries*x.width]
	lo, hi := 0, n
	for hi-lo >= pageEntries {
		mid := (lo + hi) / 2
		if err := readFull(h, buf[:x.width], int64(mid*x.width)); err != nil {
			return 0, err
		}
		if before(buf[:x.width]) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	// Everything below lo is before; entry lo-1 is read along for the caller.
	first := max(0, lo-1)
	buf = buf[:(hi-first)*x.width]
	if err := readFull(h, buf, int64(first*x.width)); err != nil {
		return 0, err
	}
	i := first + sort.Search(hi-first, func(k int) bool { return !before(buf[k*x.width : (k+1)*x.width]) })
	if i > first {
		copy(previous, buf[(i-first-1)*x.width:(i-first)*x.width])
	}
	return i, nil
}

// entries calls visit for each entry in order, from the file and the tail.
// Only for a caller that holds Log.write, or that owns the index.
func (x *index) entries(visit func(i int, entry []byte) error) error {
	inFile := min(x.tailStart(), x.written)
	if inFile > 0 {
		if err := x.fileEntries(inFile, visit); err != nil {
			return err
		}
	}
	for i := inFile; i < x.count; i++ {
		if err := visit(i, x.inTail(i)); err != nil {
			return err
		}
	}
	return nil
}

func (x *index) fileEntries(n int, visit func(i int, entry []byte) error) error {
	h, err := x.file.acquire()
	if err != nil {
		return err
	}
	defer x.file.release()
	page := make([]byte, pageEntries*x.width)
	for i := range n {
		k := i % pageEntries
		if k == 0 {
			page = page[:min(pageEntries, n-i)*x.width]
			if err := readFull(h, page, int64(i*x.width)); err != nil {
				return err
			}
		}
		if err := visit(i, page[k*x.width:(k+1)*x.width]); err != nil {
			return err
		}
	}
	return nil
}

// unwritten is what spill would write.
func (x *index) unwritten() int { return x.count - x.written }

// spill writes the entries that are not in the file yet, and cuts it behind
// them. The caller holds Log.write, so that nobody else changes the index, and
// calls spilled under Log.mu after it.
func (x *index) spill() error {
	end := int64(x.count * x.width)
	if x.unwritten() == 0 && x.fileSize == end {
		return nil
	}
	h, err := x.create()
	if err != nil {
		return err
	}
	defer x.file.release()
	x.unsynced = true
	if x.unwritten() > 0 {
		at := (x.written - x.tailStart()) * x.width
		if _, err := h.WriteAt(x.tail[at:], int64(x.written*x.width)); err != nil {
			return err
		}
	}
	if x.fileSize > end {
		if err := h.Truncate(end); err != nil {
			return err
		}
	}
	x.fileSize = end
	return nil
}

// create opens the file, and makes it if need be. Each create needs its release.
func (x *index) create() (vfs.File, error) {
	if x.made {
		return x.file.acquire()
	}
	h, err := x.file.open(os.O_RDWR | os.O_CREATE | os.O_TRUNC)
	if err == nil {
		x.made, x.unsynced, x.unnamed = true, true, true
	}
	return h, err
}

// spilled notes that spill succeeded, and drops what the tail need not keep.
func (x *index) spilled(keep int) {
	x.written = x.count
	switch over := len(x.tail)/x.width - keep; {
	case keep == 0:
		x.tail = nil
	case over > 0:
		x.tail = append(x.tail[:0], x.tail[over*x.width:]...)
	}
}

// cut keeps the first n entries; the file is cut by the next spill.
func (x *index) cut(n int) {
	if n < x.count {
		start := x.tailStart()
		x.tail = x.tail[:max(0, n-start)*x.width]
		x.count = n
	}
	x.written = min(x.written, n)
}

// sync makes the file durable.
func (x *index) sync() error {
	h, err := x.file.acquire()
	if err != nil {
		return err
	}
	defer x.file.release()
	return h.Sync()
}

// replace writes an index whose entries are all in the tail, as a whole and
// durably. Only for a segment that nobody sees yet.
func (x *index) replace() error {
	path, _ := x.file.where()
	if err := vfs.WriteFileAtomic(x.file.files.fs, path, x.tail, 0o644); err != nil {
		return err
	}
	x.fileSize, x.made = int64(len(x.tail)), true
	x.spilled(0)
	return nil
}

// errShortFile is a file that ends inside what it should hold.
var errShortFile = errors.New("the file is too short")

// readFull fills p from off; the end of the file inside p is errShortFile.
func readFull(f vfs.File, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return errShortFile
	}
	return err
}
