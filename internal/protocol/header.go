package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every error of a request that does not parse. The
// connection that sent it is closed.
var ErrMalformed = errors.New("malformed request")

// RequestHeader is what stands before the body of every request (KIP-482):
//
//	key int16, version int16, correlation id int32,
//	from header version 1: client id nullable string (int16 length),
//	from header version 2: tagged fields
//
// Header version 2 is that of the flexible versions of an API, 1 that of all
// others; 0 belonged to ControlledShutdown 0, which is no more.
type RequestHeader struct {
	// Key names the API.
	Key int16
	// Version is the version of the API.
	Version int16
	// CorrelationID is repeated in the response.
	CorrelationID int32
	// ClientID is the client's own name; empty when it sent none.
	ClientID string
	// ClientIDNull tells a client id that was not sent from an empty one;
	// Kafka treats both alike.
	ClientIDNull bool
}

// MaxRequestHeader is the longest request header without tagged fields.
const MaxRequestHeader = 2 + 2 + 4 + 2 + maxString

// PeekRequestHeader reads key and version from the first bytes of a frame; ok
// is false when there are fewer than four.
func PeekRequestHeader(frame []byte) (key, version int16, ok bool) {
	if len(frame) < 4 {
		return 0, 0, false
	}
	return int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:])), true
}

// ParseRequestHeader splits a frame (without its length) into header and body.
// The body aliases the frame, the client id does not. Tagged fields of the
// header are skipped: none is defined. An unknown key is an error, because the
// layout of its header cannot be known; an unknown version is not.
func ParseRequestHeader(frame []byte) (h RequestHeader, body []byte, err error) {
	body, err = h.Parse(frame)
	return h, body, err
}

// Parse is ParseRequestHeader into h, which keeps its client id when the frame
// has the same: a connection that uses one header for all its requests
// allocates nothing.
func (h *RequestHeader) Parse(frame []byte) (body []byte, err error) {
	r := reader{src: frame}
	h.Key, h.Version, h.CorrelationID = r.int16(), r.int16(), r.int32()
	if r.bad {
		return nil, fmt.Errorf("%w: header of %d bytes", ErrMalformed, len(frame))
	}
	s := shapeOf(h.Key)
	if s == nil {
		return nil, fmt.Errorf("%w: unknown api key %d", ErrMalformed, h.Key)
	}
	n := r.stringLen(false)
	id := r.span(max(n, 0))
	if h.ClientIDNull = n < 0; h.ClientID != string(id) {
		h.ClientID = string(id)
	}
	if h.Version >= s.flexible {
		r.skipTags()
	}
	if r.bad {
		return nil, fmt.Errorf("%w: header of api key %d version %d", ErrMalformed, h.Key, h.Version)
	}
	return r.src, nil
}

// AppendResponseHeader appends the header of a response: the correlation id
// and, from header version 1 (flexible versions), no tagged fields. ApiVersions
// always has header version 0, so that a client can read the answer to a
// version that the broker does not know (KIP-511).
func AppendResponseHeader(dst []byte, key, version int16, correlationID int32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if key == apiVersions {
		return dst
	}
	if s := shapeOf(key); s != nil && version >= s.flexible {
		dst = append(dst, 0)
	}
	return dst
}

const apiVersions = 18
