package protocol

import "encoding/binary"

// reader takes Kafka's primitive types off the front of src. After a read
// beyond the end, or of a length that cannot be, bad is set, src is empty and
// every read returns zero.
type reader struct {
	src []byte
	bad bool
}

func (r *reader) fail() {
	r.bad = true
	r.src = nil
}

// span returns the next n bytes, aliasing src.
func (r *reader) span(n int) []byte {
	if n < 0 || n > len(r.src) {
		r.fail()
		return nil
	}
	s := r.src[:n:n]
	r.src = r.src[n:]
	return s
}

func (r *reader) int8() int8 {
	if s := r.span(1); s != nil {
		return int8(s[0])
	}
	return 0
}

func (r *reader) int16() int16 {
	if s := r.span(2); s != nil {
		return int16(binary.BigEndian.Uint16(s))
	}
	return 0
}

func (r *reader) int32() int32 {
	if s := r.span(4); s != nil {
		return int32(binary.BigEndian.Uint32(s))
	}
	return 0
}

func (r *reader) int64() int64 {
	if s := r.span(8); s != nil {
		return int64(binary.BigEndian.Uint64(s))
	}
	return 0
}

func (r *reader) uuid() (id [16]byte) {
	copy(id[:], r.span(16))
	return id
}

// uvarint reads an unsigned varint of at most 31 bits in at most 5 bytes.
func (r *reader) uvarint() int {
	var v uint64
	for i := range min(5, len(r.src)) {
		b := r.src[i]
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if v > maxInt32 {
				break
			}
			r.src = r.src[i+1:]
			return int(v)
		}
	}
	r.fail()
	return 0
}

const maxInt32 = 1<<31 - 1

// maxString is the largest string, in bytes: in compact form too Kafka refuses
// a longer one.
const maxString = 1<<15 - 1

// stringLen reads the length of a string; −1 is null.
func (r *reader) stringLen(flexible bool) int {
	if !flexible {
		return r.length(int(r.int16()))
	}
	n := r.length(r.uvarint() - 1)
	if n > maxString {
		r.fail()
		return 0
	}
	return n
}

// bytesLen reads the length of bytes or of an array; −1 is null. What is
// announced is there: at least a byte for each element.
func (r *reader) bytesLen(flexible bool) int {
	if !flexible {
		return r.length(int(r.int32()))
	}
	return r.length(r.uvarint() - 1)
}

// length checks an announced length against what is left.
func (r *reader) length(n int) int {
	if r.bad || n < -1 || n > len(r.src) {
		r.fail()
		return 0
	}
	return n
}

// skipTags skips the tagged fields that end a structure, none of which is
// known.
func (r *reader) skipTags() {
	for range r.uvarint() {
		r.uvarint() // number
		if r.span(r.uvarint()); r.bad {
			return // they may be announced by the billion
		}
	}
}
