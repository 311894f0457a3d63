// Package metadata is the cluster's metadata as pure data: Kafka's metadata
// records, the immutable Image that they fold into, and the Delta that says
// what a change of it changed.
//
// Nothing here does I/O, starts a goroutine or knows the time: an Image is
// the same on every node that applied the same records (M7).
//
// Start reading at Image (image.go), then apply.go, which folds one record
// after the other, records.go, which writes an Image as records again, and
// delta.go. message.go is the framing of a record in the log, schema.txt has
// its fields; records_gen.go is generated from it.
package metadata

import (
	"encoding/base64"
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"

	"ottla/internal/schema"
)

//go:generate go run ../schema/gen

// The encodings are those of package schema, and so are these names.
type (
	// UUID is the id of a topic, a log dir, an incarnation or an ACL. The zero
	// UUID stands for none.
	UUID = schema.UUID
	// Tag is a tagged field that this program does not know.
	Tag = schema.Tag
)

// ErrMalformed is wrapped by every error about bytes that are not the record
// they claim to be.
var ErrMalformed = schema.ErrMalformed

// FormatUUID writes an id as Kafka does: base64 for URLs, without padding.
func FormatUUID(id UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseUUID reads what FormatUUID wrote.
func ParseUUID(s string) (id UUID, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(id) {
		return UUID{}, fmt.Errorf("%q is not a Kafka UUID (22 characters of base64)", s)
	}
	return UUID(b), nil
}

// Message is a record of the metadata log. The types are in records_gen.go;
// a Message that was handed on is never changed.
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

// frameVersion begins the value of every record of the metadata log.
const frameVersion = 1

// AppendValue appends m as the value of a record of the metadata log, in the
// version that CurrentLevel writes:
//
//	uvarint frame version (1), uvarint api key, uvarint version, body
func AppendValue(dst []byte, m Message) []byte { return AppendValueAt(dst, m, CurrentLevel) }

// AppendValueAt is AppendValue for another metadata.version.
func AppendValueAt(dst []byte, m Message, level int16) []byte {
	version := VersionAt(m, level)
	dst = kbin.AppendUvarint(dst, frameVersion)
	dst = kbin.AppendUvarint(dst, uint32(m.APIKey()))
	dst = kbin.AppendUvarint(dst, uint32(version))
	return m.AppendTo(dst, version)
}

// ParseValue reads the value of a record of the metadata log. Errors wrap
// ErrMalformed; an api key or a version that is not known is one.
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
