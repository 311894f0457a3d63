package api

import (
	"io"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
	"ottla/internal/vfs"
)

// Reply is the answer to a request, maybe one that is not there yet.
//
// The server, in this order: waits for Done, calls Encode once (or again, if it
// is Repeatable), sends what it returned, calls Release once. When the connection dies first, Encode is not
// called, but Release is. Replies of a connection leave in the order of its
// requests.
type Reply struct {
	// Done is closed when the reply may leave; nil: at once. Of an API that is
	// Pipelined, the next request of the same API is handled while this one
	// waits; the others hold up their connection.
	Done <-chan struct{}
	// Encode appends the body of the response to dst. It runs after Done, in
	// any goroutine, after the request's Body is gone. An error closes the
	// connection, in its place in the order of the replies. Nil when None is
	// set and nothing can fail.
	Encode func(dst []byte) (Payload, error)
	// Repeatable tells that Encode may be called again, and does the same: the
	// bytes of a large response are dropped while there is no memory for it.
	Repeatable bool
	// None tells that nothing is sent: Produce with acks=0. Encode, if there
	// is one, is called all the same for its error: that is how Kafka tells a
	// client that its acks=0 failed.
	None bool
	// Release gives back what the reply holds, such as segments; may be nil.
	Release func()
}

// Payload is the body of a response: bytes, and between them regions of files.
type Payload struct {
	// Bytes begins with the dst that Encode was given.
	Bytes []byte
	// Regions are sent between the bytes, ordered by At.
	Regions []Region
}

// Region is a part of a file that is sent in the midst of a response.
type Region struct {
	// At is the index into Payload.Bytes before which the region is sent.
	At int
	Source
}

// Source is where the bytes of a region come from; storage.Slice is one. It
// stays readable until the Reply's Release.
type Source interface {
	// Len is the number of bytes.
	Len() int
	// ReadAt reads from the region; off 0 is its first byte.
	io.ReaderAt
	// File is the file that holds the region and the region's position in it,
	// for sendfile; nil when it can only be read.
	File() (file vfs.File, pos int64)
}

// respond is the reply that sends a message in the version of the request.
func respond(r *Request, message kmsg.Response) Reply {
	message.SetVersion(r.Header.Version)
	return encoded(message)
}

// encoded is the reply that sends a message in the version that it has.
func encoded(message kmsg.Response) Reply {
	return Reply{Repeatable: true, Encode: func(dst []byte) (Payload, error) {
		body, err := protocol.Encode(dst, message)
		return Payload{Bytes: body}, err
	}}
}
