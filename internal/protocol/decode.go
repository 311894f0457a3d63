package protocol

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// NewRequest returns the empty request of an API at a version, or nil when
// Kafka 4.3.1 does not have the API.
func NewRequest(key, version int16) kmsg.Request {
	if shapeOf(key) == nil {
		return nil
	}
	request := kmsg.RequestForKey(key)
	request.SetVersion(version)
	return request
}

// Decode parses the body of a request. Byte fields of the result alias the
// body, strings do not. Bytes behind the last field are ignored, and so are
// unknown tagged fields, as Kafka does. Errors wrap ErrMalformed.
//
//  1. The body is walked along the shape of its version, which allocates
//     nothing: every length must be covered by bytes that are there.
//  2. Unknown tagged fields are cut out, if there are any.
//  3. kmsg decodes the rest.
//
// kmsg alone would allocate arrays by their length fields before it has seen
// their elements, loop four billion times over tagged fields that are announced
// and absent, and keep a map for each structure that has an unknown one. With 1
// and 2 what it allocates is bounded by the bytes that arrived.
func Decode(key, version int16, body []byte) (kmsg.Request, error) {
	s := shapeOf(key)
	if s == nil || version < s.min || version > s.max {
		return nil, fmt.Errorf("%w: api key %d version %d is unknown", ErrMalformed, key, version)
	}
	checked, err := s.check(version, body)
	if err != nil {
		return nil, fmt.Errorf("%w: body of api key %d version %d", err, key, version)
	}
	request := NewRequest(key, version)
	if err := request.ReadFrom(checked); err != nil {
		return nil, fmt.Errorf("%w: body of api key %d version %d: %w", ErrMalformed, key, version, err)
	}
	return request, nil
}
