// Package schema implements the encodings of Kafka's message schemas. The types
// that gen generates from a schema.txt use it. Packages that own records (the
// metadata log, the internal topics) have their own schema and generated types.
//
// Start reading at Reader; gen/main.go describes the format of schema.txt.
package schema

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/twmb/franz-go/pkg/kbin"
)

// ErrMalformed is wrapped by every error about bytes that are not a valid
// record: too short, too long, a length beyond the end, an unknown key or
// version.
var ErrMalformed = errors.New("malformed record")

// UUID is the id of a topic, a log dir, an incarnation or an ACL. The zero
// UUID stands for none.
type UUID = [16]byte

// Tag is a tagged field that this program does not know. A newer version wrote
// it; it is kept byte for byte.
type Tag struct {
	// Number identifies the field in its struct.
	Number uint32
	// Value is the field's encoding without its length.
	Value []byte
}

// AppendTags writes the tagged fields of a struct in ascending order: known are
// the schema's fields that differ from their default, unknown the preserved
// ones.
//
// Layout: uvarint count, then per field uvarint number, uvarint length, value.
func AppendTags(dst []byte, known, unknown []Tag) []byte {
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

// AppendInt32s writes a compact list.
func AppendInt32s(dst []byte, v []int32) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(v))
	for _, x := range v {
		dst = kbin.AppendInt32(dst, x)
	}
	return dst
}

// AppendUUIDs writes a compact list.
func AppendUUIDs(dst []byte, v []UUID) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(v))
	for _, x := range v {
		dst = kbin.AppendUuid(dst, x)
	}
	return dst
}

// AppendStrings writes a compact list of compact strings.
func AppendStrings(dst []byte, v []string) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(v))
	for _, x := range v {
		dst = kbin.AppendCompactString(dst, x)
	}
	return dst
}

// AppendStructs writes a list of structs in the record's version.
func AppendStructs[T any, P interface {
	*T
	AppendTo(dst []byte, version int16) []byte
}](dst []byte, v []T, version int16) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(v))
	for i := range v {
		dst = P(&v[i]).AppendTo(dst, version)
	}
	return dst
}

// Nullable writes a nil list as null and any other list with enc.
func Nullable[T any](dst []byte, v []T, enc func([]byte, []T) []byte) []byte {
	if v == nil {
		return kbin.AppendUvarint(dst, 0)
	}
	return enc(dst, v)
}

// AppendNullable writes a tagged struct that may be null: 0 for null, or 1 and
// the struct.
func AppendNullable[T any, P interface {
	*T
	AppendTo(dst []byte, version int16) []byte
}](dst []byte, v P, version int16) []byte {
	if v == nil {
		return append(dst, 0)
	}
	return v.AppendTo(append(dst, 1), version)
}

// IsDefault tells whether a nullable tagged struct has the default value:
// present and empty. The default is not written.
func IsDefault[T any, P interface {
	*T
	AppendTo(dst []byte, version int16) []byte
}](v P, version int16) bool {
	return v != nil && bytes.Equal(v.AppendTo(nil, version), P(new(T)).AppendTo(nil, version))
}

// Reader takes primitives off the front of src. After the first error every
// method returns a zero value. It is stricter than kbin.Reader: null where the
// schema does not allow it, a length beyond the end, and booleans other than 0
// and 1 are errors. So parsed bytes are written back unchanged.
//
// A length in the input never determines an allocation: lists grow as their
// elements are read, and strings are cut from existing bytes.
type Reader struct {
	src []byte
	err error
}

// NewReader returns a reader of src.
func NewReader(src []byte) Reader { return Reader{src: src} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Rest returns the unread bytes.
func (r *Reader) Rest() []byte { return r.src }

// End returns the first error; unread bytes count as an error.
func (r *Reader) End() error {
	if r.err == nil && len(r.src) > 0 {
		r.fail("%d bytes left over", len(r.src))
	}
	return r.err
}

func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	r.src = nil
}

func (r *Reader) span(n int) []byte {
	if n < 0 || n > len(r.src) {
		r.fail("%d bytes wanted, %d left", n, len(r.src))
		return nil
	}
	s := r.src[:n:n]
	r.src = r.src[n:]
	return s
}

// Int8 reads one byte.
func (r *Reader) Int8() int8 {
	if s := r.span(1); s != nil {
		return int8(s[0])
	}
	return 0
}

// Bool reads one byte, 0 or 1.
func (r *Reader) Bool() bool {
	b := r.Int8()
	if b != 0 && b != 1 {
		r.fail("boolean %d", b)
	}
	return b == 1
}

// Uint16 reads two bytes.
func (r *Reader) Uint16() uint16 {
	if s := r.span(2); s != nil {
		return binary.BigEndian.Uint16(s)
	}
	return 0
}

// Int16 reads two bytes.
func (r *Reader) Int16() int16 { return int16(r.Uint16()) }

// Int32 reads four bytes.
func (r *Reader) Int32() int32 {
	if s := r.span(4); s != nil {
		return int32(binary.BigEndian.Uint32(s))
	}
	return 0
}

// Int64 reads eight bytes.
func (r *Reader) Int64() int64 {
	if s := r.span(8); s != nil {
		return int64(binary.BigEndian.Uint64(s))
	}
	return 0
}

// Float64 reads eight bytes, IEEE 754.
func (r *Reader) Float64() float64 { return math.Float64frombits(uint64(r.Int64())) }

// UUID reads sixteen bytes.
func (r *Reader) UUID() (u UUID) {
	copy(u[:], r.span(len(u)))
	return u
}

// Uvarint reads one to five bytes, seven bits each, the lowest first.
func (r *Reader) Uvarint() uint32 {
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
func (r *Reader) length() (n int, null bool) {
	v := r.Uvarint()
	if v == 0 {
		return 0, true
	}
	if int64(v)-1 > int64(len(r.src)) {
		r.fail("length %d, %d bytes left", int64(v)-1, len(r.src))
		return 0, false
	}
	return int(v) - 1, false
}

// count is like length, but does not allow null.
func (r *Reader) count() int {
	n, null := r.length()
	if null {
		r.fail("null where the schema has none")
	}
	return n
}

// CompactString reads a compact length and that many bytes.
func (r *Reader) CompactString() string { return string(r.span(r.count())) }

// ShortString reads an int16 length and that many bytes: the string of versions
// that are not flexible.
func (r *Reader) ShortString() string { return string(r.span(int(r.Int16()))) }

// Present reads the byte before a nullable tagged struct: 1, or 0 for null.
func (r *Reader) Present() bool {
	b := r.Int8()
	if b != 0 && b != 1 {
		r.fail("%d before a struct that may be null", b)
	}
	return b == 1
}

// NullableString is like CompactString, but null is allowed and gives nil.
func (r *Reader) NullableString() *string {
	n, null := r.length()
	if null {
		return nil
	}
	s := string(r.span(n))
	return &s
}

// Bytes reads bytes and copies them, so that a record never aliases the batch
// it was read from.
func (r *Reader) Bytes() []byte {
	n := r.count()
	if n == 0 {
		return nil
	}
	return append([]byte(nil), r.span(n)...)
}

// List reads a compact list; an empty one is nil.
func List[T any](r *Reader, one func(*Reader) T) []T {
	return elements(r, r.count(), one)
}

// NullableList reads a compact list. null gives nil; an empty list does not.
func NullableList[T any](r *Reader, one func(*Reader) T) []T {
	n, null := r.length()
	if null {
		return nil
	}
	if n == 0 {
		return []T{}
	}
	return elements(r, n, one)
}

func elements[T any](r *Reader, n int, one func(*Reader) T) []T {
	var v []T
	for i := 0; i < n && r.err == nil; i++ {
		v = append(v, one(r))
	}
	return v
}

// Tags reads the tagged fields of a struct. known parses a field of the schema
// from a separate reader and must read all of it. For other fields it returns
// false; these are returned.
func (r *Reader) Tags(known func(number uint32, r *Reader) bool) (unknown []Tag) {
	last := int64(-1)
	for n := r.Uvarint(); n > 0 && r.err == nil; n-- {
		number, size := r.Uvarint(), r.Uvarint()
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
		field := Reader{src: value}
		if known == nil || !known(number, &field) {
			unknown = append(unknown, Tag{Number: number, Value: append([]byte(nil), value...)})
			continue
		}
		if err := field.End(); err != nil {
			r.fail("tag %d: %v", number, err)
			return nil
		}
	}
	return unknown
}

// ParseBody reads all of src as the body of a record in a version, using read.
// m is the record and is used only in errors; last is its highest version.
func ParseBody(m any, src []byte, version, last int16, read func(r *Reader, version int16)) error {
	if version < 0 || version > last {
		return fmt.Errorf("%w: %T version %d, known are 0 to %d", ErrMalformed, m, version, last)
	}
	r := Reader{src: src}
	read(&r, version)
	if err := r.End(); err != nil {
		return fmt.Errorf("%T version %d: %w", m, version, err)
	}
	return nil
}

// ParseKey reads all of src as a key of an internal topic: int16 kind, then
// fields that are not flexible, using read.
func ParseKey(m any, src []byte, kind int16, read func(r *Reader)) error {
	r := Reader{src: src}
	if got := r.Int16(); r.err == nil && got != kind {
		r.fail("kind %d, want %d", got, kind)
	}
	read(&r)
	if err := r.End(); err != nil {
		return fmt.Errorf("%T: %w", m, err)
	}
	return nil
}

// Value is implemented by the types that gen generates for record values.
type Value interface {
	AppendTo(dst []byte, version int16) []byte
	Parse(src []byte, version int16) error
}

// AppendVersioned appends the value of an internal topic's record: int16
// version, body.
func AppendVersioned(dst []byte, v Value, version int16) []byte {
	return v.AppendTo(kbin.AppendInt16(dst, version), version)
}

// ParseVersioned parses the output of AppendVersioned. Errors wrap
// ErrMalformed.
func ParseVersioned(src []byte, v Value) error {
	r := Reader{src: src}
	version := r.Int16()
	if r.err != nil {
		return fmt.Errorf("%T: %w", v, r.err)
	}
	return v.Parse(r.src, version)
}
