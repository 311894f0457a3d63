// Package metadata is the cluster's metadata as pure data: Kafka's metadata
// records, the immutable Image that results from applying them, and the Delta
// that describes the difference between two Images.
//
// The package does no I/O, starts no goroutine and uses no clock: an Image is
// the same on every node that applied the same records (M7).
//
// Start reading at Image (image.go), then apply.go, which applies records,
// records.go, which converts an Image back to records, and delta.go. message.go
// is the framing of a record in the log. schema.txt has the fields of the
// records; records_gen.go is generated from it.
package metadata

import (
	"encoding/base64"
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"

	"ottla/internal/schema"
)

//go:generate go run ../schema/gen

// These types come from package schema, which has the encodings.
type (
	// UUID is the id of a topic, a log dir, an incarnation or an ACL. The zero
	// UUID stands for none.
	UUID = schema.UUID
	// Tag is a tagged field that this program does not know.
	Tag = schema.Tag
)

// ErrMalformed is wrapped by every error about bytes that are not a valid
// record.
var ErrMalformed = schema.ErrMalformed

// FormatUUID formats an id like Kafka: base64 for URLs, without padding.
func FormatUUID(id UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseUUID parses the result of FormatUUID.
func ParseUUID(s string) (id UUID, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(id) {
		return UUID{}, fmt.Errorf("%q is not a Kafka UUID (22 characters of base64)", s)
	}
	return UUID(b), nil
}

// Message is a record of the metadata log. The types are in records_gen.go; a
// Message must not be changed after it was passed on.
type Message interface {
	// APIKey is the api key of the record's type.
	APIKey() int16
	// LastVersion is the highest version of the record's type; the lowest is 0.
	LastVersion() int16
	// AppendTo appends the body of a version from 0 to LastVersion. A field
	// that the version does not have is left out.
	AppendTo(dst []byte, version int16) []byte
	// Parse reads all of src as the body of a version. It does not alias src.
	Parse(src []byte, version int16) error
}

// frameVersion is the first field in the value of every record of the metadata
// log.
const frameVersion = 1

// AppendValue appends m as the value of a record of the metadata log, in the
// version that CurrentLevel writes:
//
//	uvarint frame version (1), uvarint api key, uvarint version, body
func AppendValue(dst []byte, m Message) []byte { return AppendValueAt(dst, m, CurrentLevel) }

// AppendValueAt is like AppendValue for another metadata.version.
func AppendValueAt(dst []byte, m Message, level int16) []byte {
	version := VersionAt(m, level)
	dst = kbin.AppendUvarint(dst, frameVersion)
	dst = kbin.AppendUvarint(dst, uint32(m.APIKey()))
	dst = kbin.AppendUvarint(dst, uint32(version))
	return m.AppendTo(dst, version)
}

// ParseValue parses the value of a record of the metadata log. Errors, also
// those for an unknown api key or version, wrap ErrMalformed.
func ParseValue(value []byte) (Message, error) {
	r := schema.NewReader(value)
	frame, key, version := r.Uvarint(), r.Uvarint(), r.Uvarint()
	if err := r.Err(); err != nil {
		return nil, err
	}
	if frame != frameVersion {
		return nil, fmt.Errorf("%w: frame version %d, want %d", ErrMalformed, frame, frameVersion)
	}
	m, err := newMessage(key)
	if err != nil {
		return nil, err
	}
	if version > uint32(m.LastVersion()) {
		return nil, fmt.Errorf("%w: %T version %d, known are 0 to %d", ErrMalformed, m, version, m.LastVersion())
	}
	return m, m.Parse(r.Rest(), int16(version))
}
