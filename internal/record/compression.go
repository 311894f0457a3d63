package record

import "fmt"

// Compression is the codec of a batch's records; the values are the bits in
// the attributes.
type Compression int8

// The codecs.
const (
	None   Compression = 0
	Gzip   Compression = 1
	Snappy Compression = 2
	LZ4    Compression = 3
	Zstd   Compression = 4
	// Producer stands in Rules only: keep the codec that the producer chose.
	Producer Compression = -1
)

// DefaultLevel asks for the codec's own default level. No codec has a level 0
// of its own but zstd, where it means the same.
const DefaultLevel = 0

// Valid tells whether c is a codec.
func (c Compression) Valid() bool { return c >= None && c <= Zstd }

// String is the name as in the key compression.type.
func (c Compression) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	case Producer:
		return "producer"
	}
	return fmt.Sprintf("unknown(%d)", int8(c))
}
