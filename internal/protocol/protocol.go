// Package protocol is Kafka's wire format without any I/O: the header of
// frames, error codes, and the messages.
//
// The messages are franz-go's kmsg, reached through Decode, which first walks a
// body along its shape so that a length field cannot make kmsg allocate (or
// loop over) what is not there. By hand are only those that carry records:
// ProduceRequest, ProduceResponse and FetchResponse.
//
// Start reading at header.go, then decode.go and shape.go; codes.go has the
// error codes.
package protocol
