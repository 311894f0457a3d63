package record

import (
	"errors"
	"io"
	"math"
)

// scanner reads records from a buffer, or from a worker that decompresses
// piece by piece into a small window, without a copy of what it only skips.
//
// A record is
//
//	length           varint   bytes that follow
//	attributes       int8     unused
//	timestamp delta  varlong
//	offset delta     varint
//	key              varint length (-1: null), bytes
//	value            varint length (-1: null), bytes
//	headers          varint count, then for each:
//	                 varint length, key bytes; varint length (-1: null), value bytes
//
// where varint and varlong are zigzag encoded, at most 5 and 10 bytes.
//
// Mistakes are sticky: after the first, every method returns zero values, and
// why or err says what it was. So the parser below reads like the format.
type scanner struct {
	// buf is the current piece, pos the place in it, before the bytes of the
	// pieces already consumed.
	buf    []byte
	pos    int
	before int64
	// end is where the current record ends, counted from the first piece.
	end int64
	// source yields the next pieces; nil when buf is everything.
	source *worker
	limit  int64
	// to gets all pieces, unless it is nil.
	to *recompression
	// skim skips keys, values and headers instead of returning them.
	skim bool
	// keyNull tells whether the last record's key was null.
	keyNull bool
	// bad is set by the first mistake; why is what the format breaks, err what
	// the decompressor said.
	bad bool
	why string
	err error
}

// reset starts over records that lie in memory.
func (s *scanner) reset(records []byte) { *s = scanner{buf: records, skim: s.skim} }

// stream starts over records that w decompresses, at most limit bytes.
func (s *scanner) stream(w *worker, limit int64, to *recompression) {
	*s = scanner{source: w, limit: limit, to: to, skim: s.skim}
}

// record reads the next record. With skim only attributes and deltas of r are
// set. It returns false when the bytes are no record.
func (s *scanner) record(r *Record) bool {
	if !s.head(r) {
		return false
	}
	key := s.varint()
	s.keyNull = key < 0
	r.Key = s.bytes(key)
	r.Value = s.bytes(s.varint())
	s.headers(r)
	if s.at() != s.end && !s.bad {
		return s.wrong("its length does not match its content")
	}
	return !s.bad
}

// head reads what stands before the key of the next record, and where the record
// ends. It returns false when the bytes are no record.
func (s *scanner) head(r *Record) bool {
	s.end = math.MaxInt64
	length := s.varint()
	if length < 0 && !s.bad {
		return s.wrong("its length is negative")
	}
	s.end = s.at() + int64(length)
	r.Attributes = int8(s.byte())
	r.TimestampDelta = s.varlong()
	r.OffsetDelta = s.varint()
	if s.at() > s.end && !s.bad {
		return s.wrong("its length does not match its content")
	}
	return !s.bad
}

// headers reads the headers of a record; each takes at least two bytes, so
// that the count is bounded by what is left of the record.
func (s *scanner) headers(r *Record) {
	count := s.varint()
	if count < 0 || int64(count) > (s.end-s.at())/2 {
		s.wrong("its number of headers is out of bounds")
		return
	}
	r.Headers = r.Headers[:0]
	for range count {
		length := s.varint()
		if length < 0 {
			s.wrong("the key of a header is null")
		}
		key := s.bytes(length)
		value := s.bytes(s.varint())
		if s.bad {
			return
		}
		if !s.skim {
			r.Headers = append(r.Headers, Header{Key: key, Value: value})
		}
	}
}

// at is the place counted from the first piece.
func (s *scanner) at() int64 { return s.before + int64(s.pos) }

// wrong notes the first mistake and returns false.
func (s *scanner) wrong(why string) bool {
	if !s.bad {
		s.bad, s.why = true, why
	}
	return false
}

// atEnd tells whether nothing follows.
func (s *scanner) atEnd() bool { return !s.bad && s.pos == len(s.buf) && !s.fill() && s.err == nil }

// fill takes the next piece; false at the end and on an error, which err
// holds.
func (s *scanner) fill() bool {
	if s.source == nil || s.bad {
		return false
	}
	s.before += int64(len(s.buf))
	s.pos = 0
	piece, err := s.source.next()
	s.buf = piece
	if err == nil && s.before+int64(len(piece)) > s.limit {
		err = ErrTooLarge
	}
	if err == nil && s.to != nil {
		err = s.to.write(piece)
	}
	if err != nil {
		s.source, s.buf = nil, nil
		if !errors.Is(err, io.EOF) {
			s.bad, s.err = true, err
		}
		return false
	}
	return true
}

// byte reads one byte.
func (s *scanner) byte() byte {
	for s.pos == len(s.buf) {
		if !s.fill() {
			s.wrong("the bytes end inside it")
			return 0
		}
	}
	b := s.buf[s.pos]
	s.pos++
	return b
}

// varint reads a zigzag number of at most 5 bytes.
func (s *scanner) varint() int32 {
	if s.pos < len(s.buf) {
		if b := s.buf[s.pos]; b < 0x80 {
			s.pos++
			return int32(b>>1) ^ -int32(b&1)
		}
	}
	return s.varintSlow()
}

func (s *scanner) varintSlow() int32 {
	// Two bytes hold the length of most records.
	if s.pos+1 < len(s.buf) {
		if b, c := s.buf[s.pos], s.buf[s.pos+1]; c < 0x80 {
			s.pos += 2
			u := uint32(b&0x7f) | uint32(c)<<7
			return int32(u>>1) ^ -int32(u&1)
		}
	}
	u := s.uvarint(32)
	return int32(u>>1) ^ -int32(u&1)
}

// varlong reads a zigzag number of at most 10 bytes.
func (s *scanner) varlong() int64 {
	if s.pos < len(s.buf) {
		if b := s.buf[s.pos]; b < 0x80 {
			s.pos++
			return int64(b>>1) ^ -int64(b&1)
		}
	}
	u := s.uvarint(64)
	return int64(u>>1) ^ -int64(u&1)
}

// uvarint reads an unsigned number that fits the given bits.
func (s *scanner) uvarint(bits uint) uint64 {
	var u uint64
	for shift := uint(0); shift < bits; shift += 7 {
		b := s.byte()
		if left := bits - shift; left < 7 && b>>left != 0 {
			break
		}
		u |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return u
		}
	}
	s.wrong("a number in it is too long")
	return 0
}

// bytes returns the next n bytes, nil when n is -1. With skim it only skips
// them and returns nil; else the records lie in memory.
func (s *scanner) bytes(n int32) []byte {
	if n == -1 || s.bad {
		return nil
	}
	if n < 0 || int64(n) > s.end-s.at() {
		s.wrong("a length in it is out of bounds")
		return nil
	}
	if rest := len(s.buf) - s.pos; int(n) > rest {
		s.skip(int(n) - rest)
		return nil
	}
	at := s.pos
	s.pos += int(n)
	if s.skim {
		return nil
	}
	return s.buf[at:s.pos:s.pos]
}

// skip leaves the current piece and n bytes beyond it behind.
func (s *scanner) skip(n int) {
	for n > 0 {
		s.pos = len(s.buf)
		if !s.fill() {
			s.wrong("the bytes end inside it")
			return
		}
		s.pos = min(n, len(s.buf))
		n -= s.pos
	}
}
