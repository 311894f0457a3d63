package record

import (
	"errors"
	"fmt"
)

// ErrTruncated is returned by Next when the buffer ends inside a batch: the
// torn end of a log after a crash, or a fetch that cut the last batch.
var ErrTruncated = errors.New("the buffer ends inside a record batch")

// ErrTooLarge is returned when a decompressed block exceeds its limit.
var ErrTooLarge = errors.New("decompressed records exceed the limit")

// Kind sorts the reasons why a batch is refused by the error code that a
// client gets for it.
type Kind int8

const (
	// Corrupt is CORRUPT_MESSAGE: length, magic or checksum is wrong.
	Corrupt Kind = iota + 1
	// InvalidRecord is INVALID_RECORD: the checksum holds but the content
	// breaks the format or the topic's rules.
	InvalidRecord
	// InvalidTimestamp is INVALID_TIMESTAMP: a timestamp is out of the topic's
	// bounds, or the producer claims LogAppendTime.
	InvalidTimestamp
	// TooLarge is MESSAGE_TOO_LARGE: the batch exceeds max.message.bytes.
	TooLarge
	// UnsupportedCompression is UNSUPPORTED_COMPRESSION_TYPE: no such codec.
	UnsupportedCompression
)

// String is the name of the error code.
func (k Kind) String() string {
	switch k {
	case Corrupt:
		return "CORRUPT_MESSAGE"
	case InvalidRecord:
		return "INVALID_RECORD"
	case InvalidTimestamp:
		return "INVALID_TIMESTAMP"
	case TooLarge:
		return "MESSAGE_TOO_LARGE"
	case UnsupportedCompression:
		return "UNSUPPORTED_COMPRESSION_TYPE"
	}
	return fmt.Sprintf("Kind(%d)", int8(k))
}

// RecordError names one record that was refused (KIP-467).
type RecordError struct {
	// Index is the place of the record in its batch, from 0.
	Index   int32
	Message string
}

// InvalidError says why a batch is refused.
type InvalidError struct {
	Kind    Kind
	Message string
	// Records names the records at fault, at most MaxRecordErrors of them;
	// empty when the batch as a whole is.
	Records []RecordError
}

// MaxRecordErrors bounds InvalidError.Records, so that a request of a million
// bad records does not make an answer of a hundred megabytes.
const MaxRecordErrors = 100

// Error is the message that a client gets.
func (e *InvalidError) Error() string { return e.Message }

func invalid(kind Kind, format string, args ...any) *InvalidError {
	return &InvalidError{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

func corrupt(format string, args ...any) *InvalidError { return invalid(Corrupt, format, args...) }
