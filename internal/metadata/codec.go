package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/twmb/franz-go/pkg/kbin"
)

// ErrMalformed is wrapped by every error about bytes that are not the record
// they claim to be: too short, too long, a length beyond the end, an unknown
// key or version.
var ErrMalformed = errors.New("malformed metadata record")

// Tag is a tagged field that this program does not know: a newer version wrote
// it, and it is kept byte for byte.
type Tag struct {
	// Number identifies the field in its struct.
	Number uint32
	// Value is the field's encoding without its length.
	Value []byte
}

// appendTags writes the tagged fields of a struct in ascending order: known
// are those of the schema that differ from their default, unknown the ones kept.
//
// Layout: uvarint count, then per field uvarint number, uvarint length, value.
func appendTags(dst []byte, known, unknown []Tag) []byte {
	all := known
	if len(unknown) > 0 {
		all = append(all, unknown...)
		sort.SliceStable(all, func(i, j int) bool { return all[i].Number < all[j].Number })
	}
	dst = kbin.AppendUvarint(dst, uint32(len(all)))
	for _, t := range all {
		dst = kbin.AppendUvarint(dst, t.Number)
		dst = kbin.AppendUvarint(dst, uint32(len(t.Value)))
		dst = append(dst, t.Value...)
	}
	return dst
}

func appendInt32s(dst []byte, v []int32) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(v))
	for _, x := range v {
		dst = kbin.AppendInt32(dst, x)
	}
	return dst
}

func appendUUIDs(dst []byte, v []UUID) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(v))
	for _, x := range v {
		dst = kbin.AppendUuid(dst, x)
	}
	return dst
}

func appendStrings(dst []byte, v []string) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(v))
	for _, x := range v {
		dst = kbin.AppendCompactString(dst, x)
	}
	return dst
}

// appendStructs writes a list of structs of a record's version.
func appendStructs[T any, P interface {
	*T
	AppendTo(dst []byte, version int16) []byte
}](dst []byte, v []T, version int16) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(v))
	for i := range v {
		dst = P(&v[i]).AppendTo(dst, version)
	}
	return dst
}

// nullable writes a nil list as null and any other by enc.
func nullable[T any](dst []byte, v []T, enc func([]byte, []T) []byte) []byte {
	if v == nil {
		return kbin.AppendUvarint(dst, 0)
	}
	return enc(dst, v)
}

// reader takes primitives off the front of src. After the first error every
// method returns a zero value. It is stricter than kbin.Reader: null where the
// schema has none, a length beyond the end and booleans other than 0 and 1 are
// errors, so that what parses is written back as it came.
//
// Nothing is allocated from a length that was read: lists grow as their
// elements arrive, and strings are cut from bytes that are there.
type reader struct {
	src []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	r.src = nil
}

func (r *reader) span(n int) []byte {
	if n < 0 || n > len(r.src) {
		r.fail("%d bytes wanted, %d left", n, len(r.src))
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

func (r *reader) bool() bool {
	b := r.int8()
	if b != 0 && b != 1 {
		r.fail("boolean %d", b)
	}
	return b == 1
}

func (r *reader) uint16() uint16 {
	if s := r.span(2); s != nil {
		return binary.BigEndian.Uint16(s)
	}
	return 0
}

func (r *reader) int16() int16 { return int16(r.uint16()) }

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

func (r *reader) float64() float64 { return math.Float64frombits(uint64(r.int64())) }

func (r *reader) uuid() (u UUID) {
	copy(u[:], r.span(len(u)))
	return u
}

func (r *reader) uvarint() uint32 {
	v, n := kbin.Uvarint(r.src)
	if n <= 0 {
		r.fail("no uvarint in %d bytes", len(r.src))
		return 0
	}
	r.src = r.src[n:]
	return v
}

// length reads a compact length: 0 is null, otherwise the length plus one. No
// element of any type is shorter than a byte, so more elements than bytes left
// is an error.
func (r *reader) length() (n int, null bool) {
	v := r.uvarint()
	if v == 0 {
		return 0, true
	}
	if int64(v)-1 > int64(len(r.src)) {
		r.fail("length %d, %d bytes left", int64(v)-1, len(r.src))
		return 0, false
	}
	return int(v) - 1, false
}

// count is length where null is not allowed.
func (r *reader) count() int {
	n, null := r.length()
	if null {
		r.fail("null where the schema has none")
	}
	return n
}

func (r *reader) string() string { return string(r.span(r.count())) }

func (r *reader) nullableString() *string {
	n, null := r.length()
	if null {
		return nil
	}
	s := string(r.span(n))
	return &s
}

// bytes copies, so that a record never aliases the batch it was read from.
func (r *reader) bytes() []byte {
	n := r.count()
	if n == 0 {
		return nil
	}
	return append([]byte(nil), r.span(n)...)
}

// list reads a compact list; an empty one is nil.
func list[T any](r *reader, one func(*reader) T) []T {
	return elements(r, r.count(), one)
}

// nullableList reads a compact list where null is nil and empty is not.
func nullableList[T any](r *reader, one func(*reader) T) []T {
	n, null := r.length()
	if null {
		return nil
	}
	if n == 0 {
		return []T{}
	}
	return elements(r, n, one)
}

func elements[T any](r *reader, n int, one func(*reader) T) []T {
	var v []T
	for i := 0; i < n && r.err == nil; i++ {
		v = append(v, one(r))
	}
	return v
}

// tags reads the tagged fields of a struct. known parses the fields of the
// schema from a reader of their own, which they must use up, and reports false
// for the others, which are returned.
func (r *reader) tags(known func(number uint32, r *reader) bool) (unknown []Tag) {
	last := int64(-1)
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		number, size := r.uvarint(), r.uvarint()
		if int64(number) <= last {
			r.fail("tag %d after tag %d", number, last)
			return nil
		}
		last = int64(number)
		if int64(size) > int64(len(r.src)) {
			r.fail("tag %d of %d bytes, %d left", number, size, len(r.src))
			return nil
		}
		value := r.span(int(size))
		field := reader{src: value}
		if known == nil || !known(number, &field) {
			unknown = append(unknown, Tag{Number: number, Value: append([]byte(nil), value...)})
			continue
		}
		if field.err == nil && len(field.src) > 0 {
			field.fail("%d bytes left over", len(field.src))
		}
		if field.err != nil {
			r.fail("tag %d: %v", number, field.err)
			return nil
		}
	}
	return unknown
}

// body is what the generator writes for every record.
type body interface {
	readFrom(r *reader, version int16)
}

// parseBody reads all of src as the body of m in a version.
func parseBody(m body, src []byte, version, last int16) error {
	if version < 0 || version > last {
		return fmt.Errorf("%w: %T version %d, known are 0 to %d", ErrMalformed, m, version, last)
	}
	r := reader{src: src}
	m.readFrom(&r, version)
	if r.err == nil && len(r.src) > 0 {
		r.fail("%d bytes left over", len(r.src))
	}
	if r.err != nil {
		return fmt.Errorf("%T version %d: %w", m, version, r.err)
	}
	return nil
}
