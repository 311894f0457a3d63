package storage

import (
	"errors"
	"io"
	"os"
	"sort"

	"ottla/internal/vfs"
)

// index is a file of entries of fixed width that grows at its end. It is the common part
// of the offset, time and transaction index.
//
// The entries [0, written) are in the file, the newest ones are in tail, and the two
// overlap. So an index uses no memory while its segment is not appended to. A reader
// searches the tail if there is one, then the file with pread, which takes less than a
// microsecond from the page cache. New entries are written in bulk (spill).
//
// Rejected: mapping the file, as Kafka does. A page fault blocks the thread, not only the
// goroutine. A truncated file causes a signal instead of an error. And 20 MiB of address
// space are reserved for each of 10,000 partitions.
//
// After the written entries the file may contain old ones, from before a truncation or a
// restart: fileSize is then larger, and the next spill truncates the file.
//
// count, written and tail are guarded by Log.mu and changed only under Log.write. The file
// is read without a lock.
type index struct {
	file     *file
	width    int
	count    int
	written  int
	tail     []byte
	fileSize int64
	// made is true if the file exists. It is created on first use.
	made bool
	// unsynced is true if the file changed since it was last made durable; unnamed
	// if its name is not durable yet.
	unsynced, unnamed bool
}

// The entries of the tail: spillEntries new entries are written together (with an entry
// every 4 KiB this is each 1 MiB of log). keepEntries stay in memory for readers near the
// end.
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

// inTail returns the entry with a number, which must be at least tailStart.
func (x *index) inTail(i int) []byte {
	at := (i - x.tailStart()) * x.width
	return x.tail[at : at+x.width]
}

// searchTail returns the number of the first entry of the tail for which before is false;
// count if there is none.
func (x *index) searchTail(before func(entry []byte) bool) int {
	start := x.tailStart()
	return start + sort.Search(x.count-start, func(i int) bool { return !before(x.inTail(start + i)) })
}

// pageEntries is the number of entries that a search reads at once when few are left.
const pageEntries = 64

// searchFile returns the number of the first of n entries in the file for which before is
// false. It copies the previous entry, if there is one, to previous.
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
	// before is true for everything below lo. Entry lo-1 is also read for the caller.
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

// entries calls visit for each entry in order, from the file and the tail. The caller must
// hold Log.write or own the index.
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

// unwritten returns the number of entries that spill would write.
func (x *index) unwritten() int { return x.count - x.written }

// spill writes the entries that are not in the file yet, and truncates the file after
// them. The caller holds Log.write, so that the index does not change, and then calls
// spilled under Log.mu.
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

// create opens the file, and creates it if necessary. Each create needs a release.
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

// spilled updates the state after a successful spill, and removes entries from the tail
// that are no longer needed.
func (x *index) spilled(keep int) {
	x.written = x.count
	switch over := len(x.tail)/x.width - keep; {
	case keep == 0:
		x.tail = nil
	case over > 0:
		x.tail = append(x.tail[:0], x.tail[over*x.width:]...)
	}
}

// cut keeps the first n entries. The next spill truncates the file.
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

// replace durably writes an index whose entries are all in the tail, as a whole. It is only
// for a segment that is not visible yet.
func (x *index) replace() error {
	path, _ := x.file.where()
	if err := vfs.WriteFileAtomic(x.file.files.fs, path, x.tail, 0o644); err != nil {
		return err
	}
	x.fileSize, x.made = int64(len(x.tail)), true
	x.spilled(0)
	return nil
}

// errShortFile means that a file is shorter than its content requires.
var errShortFile = errors.New("the file is too short")

// readFull fills p from off. It returns errShortFile if the file ends before.
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
