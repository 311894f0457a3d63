package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// writeGroupBytes limits what is written between two fsyncs, unless a single
// batch is larger. It also limits what a power loss may tear, see provenBehind.
const writeGroupBytes = 32 << 10

// scanReadBytes is the step in which the log is read.
const scanReadBytes = 1 << 20

// logScan is the content of the log's segments, read before storage.Log opens
// (and repairs) them.
type logScan struct {
	segments []segmentFile
	maxEpoch int32
	// index counts the entries from 1, regardless of their real index.
	index index
	// voters are the entries that change the voters, as counted in index.
	voters []uint64
	// torn is the damage that ended the scan in the last segment, nil if the
	// scan reached its end.
	torn *CorruptError
	// proof describes why the torn part must have been synced; empty if nothing
	// proves it.
	proof string
}

// end is the offset after the last valid batch.
func (s *logScan) end() int64 { return s.index.next }

type segmentFile struct {
	path string
	base int64
}

// shift renumbers the entries: by is added to every index.
func (s *logScan) shift(by uint64) {
	s.index.shift(by)
	for i := range s.voters {
		s.voters[i] += by
	}
}

// scanLog reads every batch of the log in folder and checks checksums, offsets
// and epochs:
//
//  1. Offsets have no gaps. Epochs never decrease and do not exceed maxEpoch,
//     the epoch in quorum-state. A LeaderChange begins each epoch (P2, P4). The
//     checksum covers neither offset nor epoch.
//  2. An invalid batch in any segment but the last is corruption: a segment is
//     synced before the next one begins.
//  3. In the last segment it is a torn tail, which the caller may cut, except
//     in two cases: a later batch was written after an fsync, see provenBehind;
//     or it is an intact LeaderChange of an epoch beyond maxEpoch.
//
// The whole log is read at each start, so that a flipped bit is detected and
// reported early. The size is limited by the retention of snapshots (100 MiB by
// default), and the cost is that of the checksum.
func scanLog(fsys vfs.FS, folder string, maxEpoch int32) (*logScan, error) {
	s := &logScan{maxEpoch: maxEpoch}
	var err error
	if s.segments, err = listSegments(fsys, folder); err != nil {
		return nil, err
	}
	s.index = newIndex(anchor{})
	for i, segment := range s.segments {
		if i == 0 {
			s.index = newIndex(anchor{offset: segment.base})
		} else if segment.base != s.end() {
			return nil, &CorruptError{File: segment.path, Offset: s.end(), Reason: fmt.Sprintf("the segment before it ends at offset %d", s.end())}
		}
		if err := s.scanSegment(fsys, segment); err != nil {
			return nil, err
		}
		if s.torn != nil && i < len(s.segments)-1 {
			return nil, s.torn
		}
	}
	return s, nil
}

// listSegments lists the segments in the order of their base offsets.
func listSegments(fsys vfs.FS, folder string) ([]segmentFile, error) {
	entries, err := fsys.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var segments []segmentFile
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".log")
		if !ok || len(name) != 20 {
			continue
		}
		base, err := strconv.ParseInt(name, 10, 64)
		if err != nil || base < 0 {
			continue
		}
		segments = append(segments, segmentFile{filepath.Join(folder, e.Name()), base})
	}
	return segments, nil
}

// scanSegment scans one segment.
func (s *logScan) scanSegment(fsys vfs.FS, segment segmentFile) error {
	r, err := openBatches(fsys, segment.path)
	if err != nil {
		return err
	}
	defer r.close()
	for {
		batch, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.take(batch)
		}
		var bad *badBatch
		if errors.As(err, &bad) {
			s.torn = &CorruptError{File: segment.path, Offset: s.end(), Pos: r.pos, Reason: bad.reason}
			if bad.whole {
				s.proof = "the batch is whole, so that no power loss has torn it"
				return nil
			}
			s.proof, err = r.provenBehind(s.end())
			return err
		}
		if err != nil {
			return err
		}
		r.pos += int64(len(batch))
	}
}

// take adds a valid batch.
func (s *logScan) take(batch record.Batch) error {
	kind, err := kindOf(batch)
	if err == nil {
		err = s.checkEpoch(batch.LeaderEpoch(), kind)
	}
	if err == nil {
		err = s.index.add(batch.LeaderEpoch(), batch.BaseOffset(), batch.NextOffset())
	}
	if err != nil {
		// An epoch is durable in quorum-state before its first batch is written.
		return &badBatch{err.Error(), batch.LeaderEpoch() > s.maxEpoch && kind&beginsTerm != 0}
	}
	if kind&changesVoters != 0 {
		s.voters = append(s.voters, s.index.last())
	}
	return nil
}

// checkEpoch checks the epoch of the next batch. For the first batch in a log
// whose beginning was removed only the upper limit is known. An epoch may have
// a second LeaderChange: a Java controller that finds its own vote leads that
// epoch again.
func (s *logScan) checkEpoch(epoch int32, kind entryKind) error {
	last := s.index.lastTerm()
	switch {
	case epoch > s.maxEpoch:
		return fmt.Errorf("the batch has the epoch %d, but the highest known epoch is %d", epoch, s.maxEpoch)
	case s.index.count == 0 && s.index.next > 0:
	case epoch > last && kind&beginsTerm == 0:
		return fmt.Errorf("the epoch %d follows %d without a LeaderChange", epoch, last)
	}
	return nil
}

// badBatch is the reason why bytes are not a valid batch, as opposed to an I/O
// error. whole marks an intact batch that cannot be at this position: another
// file lost data.
type badBatch struct {
	reason string
	whole  bool
}

func (b *badBatch) Error() string { return b.reason }

func badf(format string, args ...any) error { return &badBatch{reason: fmt.Sprintf(format, args...)} }

// batchReader reads batches from a file, in steps of scanReadBytes.
type batchReader struct {
	file vfs.File
	size int64
	pos  int64 // of the next batch
	buf  []byte
	at   int64 // where buf begins
}

// openBatches begins at a file's first batch.
func openBatches(fsys vfs.FS, path string) (*batchReader, error) {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	r := &batchReader{file: f}
	if r.size, err = f.Size(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// close ignores the error: the file was only read.
func (r *batchReader) close() { _ = r.file.Close() }

// next returns the batch at pos, which is valid until the next call; the caller
// moves pos. The error is io.EOF at the end, a *badBatch, or an I/O error.
func (r *batchReader) next() (record.Batch, error) {
	if r.pos == r.size {
		return nil, io.EOF
	}
	head, err := r.bytes(r.pos, record.HeaderLen)
	if err != nil {
		return nil, err
	}
	if len(head) < record.HeaderLen {
		return nil, badf("%d bytes are left, a batch has at least %d", len(head), record.HeaderLen)
	}
	length := int64(int32(binary.BigEndian.Uint32(head[8:]))) + record.OverheadLen
	if length < record.HeaderLen || length > MaxBatchBytes {
		return nil, badf("the batch claims %d bytes", length)
	}
	data, err := r.bytes(r.pos, int(length))
	if err != nil {
		return nil, err
	}
	batch, err := checkEntryBatch(data)
	if err != nil {
		return nil, badf("%v", err)
	}
	return batch, nil
}

// bytes returns n bytes at pos, fewer at the end of the file.
func (r *batchReader) bytes(pos int64, n int) ([]byte, error) {
	n = int(min(int64(n), r.size-pos))
	if pos >= r.at && pos+int64(n) <= r.at+int64(len(r.buf)) {
		return r.buf[pos-r.at:][:n], nil
	}
	want := int(min(int64(max(n, scanReadBytes)), r.size-pos))
	r.buf = slices.Grow(r.buf[:0], want)[:want]
	r.at = pos
	if read, err := r.file.ReadAt(r.buf, pos); read < want {
		r.buf = r.buf[:0]
		return nil, fmt.Errorf("%s: %w", r.file.Name(), err)
	}
	return r.buf[:n], nil
}

// provenBehind searches after an invalid batch at pos for a batch that can only
// have been written after the invalid one was synced, and describes it.
//
// A power loss tears only the last group of batches that was written without an
// fsync in between. A group has at most writeGroupBytes unless it is a single
// batch, and the first batch of an epoch begins a group. So a valid batch that
// begins writeGroupBytes or more after the invalid one, or that is a
// LeaderChange, proves that committed records were destroyed. Cutting there
// would lose them silently.
//
// A closer batch proves nothing: a torn group and a flipped bit in the last few
// KiB look the same. The tail is then cut.
func (r *batchReader) provenBehind(offset int64) (string, error) {
	const shortest = record.HeaderLen
	for pos := r.pos + 1; pos+shortest <= r.size; pos++ {
		head, err := r.bytes(pos, shortest)
		if err != nil {
			return "", err
		}
		if !mayBegin(head, r.size-pos, offset) {
			continue
		}
		data, err := r.bytes(pos, int(binary.BigEndian.Uint32(head[8:]))+record.OverheadLen)
		if err != nil {
			return "", err
		}
		batch, err := checkEntryBatch(data)
		if err != nil {
			continue
		}
		kind, _ := kindOf(batch) // an unreadable one counts as data
		if kind&beginsTerm != 0 || pos-r.pos >= writeGroupBytes {
			return fmt.Sprintf("a good batch with offset %d and epoch %d follows at byte %d", batch.BaseOffset(), batch.LeaderEpoch(), pos), nil
		}
	}
	return "", nil
}

// mayBegin tells whether head looks like the header of a later batch that fits
// into left bytes. It is cheap: most positions fail the check of the magic
// byte.
func mayBegin(head []byte, left, offset int64) bool {
	b := record.Batch(head)
	if b.Magic() != record.Magic || b.BaseOffset() <= offset {
		return false
	}
	length := int64(b.Length()) + record.OverheadLen
	return length >= record.HeaderLen && length <= min(left, MaxBatchBytes)
}
