package storage

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// The sizes of the buffers in which headers are read: one for a search from an
// index entry, one for a walk over much of a segment.
const (
	searchBytes = 4 << 10
	scanBytes   = 256 << 10
)

// scanner walks over the batches in a region of a segment. It reads in pieces
// of its buffer, or header by header when the batches are larger.
//
//	for s.next() {
//		… s.header, s.pos, s.size …
//	}
//	if s.err != nil { … }
//
// next trusts nothing: a header that cannot be one ends the walk with an
// errBroken, a batch that the region ends inside of with errTorn.
type scanner struct {
	f   vfs.File
	end int64 // of the region, in bytes
	buf []byte
	at  int64 // where buf[0] lies in the file
	n   int   // bytes of buf that are read
	// holes are passed over, see Log.addDamage.
	holes []span

	// The current batch. header is a view of its first record.HeaderLen bytes.
	header    record.Batch
	pos, size int64
	err       error
}

// What ends a walk early.
var (
	errTorn   = errors.New("the file ends inside a record batch")
	errBroken = errors.New("no record batch")
	errCRC    = errors.New("wrong CRC-32C")
)

func newScanner(f vfs.File, pos, end int64, buf []byte) scanner {
	return scanner{f: f, end: end, buf: buf, pos: pos}
}

// scanner is newScanner for a walk that passes over the damage that is known.
func (s *segment) scanner(f vfs.File, pos, end int64, buf []byte) scanner {
	scan := newScanner(f, pos, end, buf)
	if holes := s.holes.Load(); holes != nil {
		scan.holes = *holes
	}
	return scan
}

// next goes to the next batch; false at the end and on an error.
func (s *scanner) next() bool {
	if s.err != nil {
		return false
	}
	s.pos += s.size
	s.size = 0
	for _, hole := range s.holes {
		if s.pos >= hole.from && s.pos < hole.to {
			s.pos = hole.to
		}
	}
	switch left := s.end - s.pos; {
	case left <= 0:
		return false
	case left < record.HeaderLen:
		s.err = errTorn
		return false
	}
	header, err := s.window(s.pos, record.HeaderLen)
	if err != nil {
		s.err = err
		return false
	}
	s.header = record.Batch(header)
	s.err = s.check()
	return s.err == nil
}

// check looks at the fields that the walk depends on.
func (s *scanner) check() error {
	size := int64(s.header.Length()) + record.OverheadLen
	switch {
	case s.header.Magic() != record.Magic:
		return fmt.Errorf("%w: its magic is %d", errBroken, s.header.Magic())
	case size < record.HeaderLen:
		return fmt.Errorf("%w: its length is %d", errBroken, s.header.Length())
	case s.header.BaseOffset() < 0 || s.header.LastOffsetDelta() < 0:
		return fmt.Errorf("%w: its offsets are %d to %d", errBroken, s.header.BaseOffset(), s.header.LastOffset())
	case size > s.end-s.pos:
		return errTorn
	}
	s.size = size
	return nil
}

// window returns n bytes at pos, n at most the buffer's length. It is valid
// until the next call.
func (s *scanner) window(pos int64, n int) ([]byte, error) {
	if pos < s.at || pos+int64(n) > s.at+int64(s.n) {
		want := int(min(int64(len(s.buf)), s.end-pos))
		got, err := s.f.ReadAt(s.buf[:want], pos)
		s.at, s.n = pos, got
		if got < n {
			if err == nil || errors.Is(err, io.EOF) {
				return nil, errTorn
			}
			return nil, err
		}
	}
	from := pos - s.at
	return s.buf[from : from+int64(n)], nil
}

// checkCRC compares the checksum of the current batch with its content. A
// batch larger than the buffer is read in pieces: a length that lies must not
// decide about memory.
func (s *scanner) checkCRC() error {
	if s.size <= int64(len(s.buf)) {
		b, err := s.window(s.pos, int(s.size))
		if err != nil {
			return err
		}
		s.header = record.Batch(b[:record.HeaderLen])
		return record.Batch(b).CheckCRC()
	}
	const covered = 21 // the CRC covers what follows it
	want, sum := s.header.CRC(), uint32(0)
	for at := s.pos + covered; at < s.pos+s.size; {
		n := int(min(int64(len(s.buf)), s.pos+s.size-at))
		b, err := s.window(at, n)
		if err != nil {
			return err
		}
		sum = crc32.Update(sum, castagnoli, b)
		at += int64(n)
	}
	header, err := s.window(s.pos, record.HeaderLen)
	if err != nil {
		return err
	}
	s.header = record.Batch(header)
	if sum != want {
		return fmt.Errorf("%w: it is %08x, that of the content %08x", errCRC, want, sum)
	}
	return nil
}

// whole reads the current batch into memory of its own.
func (s *scanner) whole() (record.Batch, error) {
	b := make([]byte, s.size)
	return record.Batch(b), readFull(s.f, b, s.pos)
}

// marker reads the end of a transaction when the current batch is one. A
// control record that makes no sense ends none.
func (s *scanner) marker(codecs *record.Codecs) (*record.EndTxnMarker, int64, error) {
	if !s.header.IsControl() || !s.header.HasProducer() {
		return nil, 0, nil
	}
	b, err := s.whole()
	if err != nil {
		return nil, 0, err
	}
	end, timestamp, err := endTxnMarker(b, codecs)
	if err != nil {
		return nil, 0, nil //nolint:nilerr // the batch is whole, its content is the producer's
	}
	return end, timestamp, nil
}
