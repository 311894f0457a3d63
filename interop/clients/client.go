// Package clients drives Kafka clients of many languages through one interface:
// create a topic, write records, read records. Start at Client, then All.
//
// Clients in Go run in the test process. kcat is run once per call. The others
// are small programs (interop/java, interop/python, interop/node) that keep
// running and read one JSON command per line (process.go).
package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Client is one Kafka client, connected to one broker. Calls must not overlap.
type Client interface {
	// Can returns the parts of the matrix that this client supports.
	Can() Abilities
	// Create creates a topic with one replica.
	Create(ctx context.Context, topic string, partitions int, configs map[string]string) error
	// Produce writes records to one partition in order and returns their
	// offsets; -1 if the client does not know them (acks=0).
	Produce(ctx context.Context, p Produce) ([]int64, error)
	// Consume reads count records of one partition.
	Consume(ctx context.Context, c Consume) ([]Record, error)
	Close() error
}

// ErrNot is returned if a client does not have a function.
var ErrNot = errors.New("this client cannot do that")

// Abilities of a client. What is false or missing here is a limit of the
// client, not of the broker. The matrix omits it.
type Abilities struct {
	Codecs          []string // none gzip snappy lz4 zstd
	Acks            []string // 0 1 all
	Admin           bool     // Create
	Consume         bool     // without a consumer group
	Idempotent      bool     // with acks=all
	Timestamps      bool     // can set the timestamp of a record
	Headers         bool
	NullHeader      bool // header with a null value
	EmptyKey        bool // a key of no bytes, other than null
	EmptyValue      bool // a value of no bytes, other than null
	NullBoth        bool // a record without key and without value
	RepeatedHeaders bool // two headers of one name
}

// Record is a record in the form that the matrix compares. Nil is null: an
// empty key or value is not nil.
type Record struct {
	Offset    int64    `json:"offset"`
	Timestamp int64    `json:"timestamp"` // ms; 0 when writing: the client's clock
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []Header `json:"headers"`
}

// Header is a header of a record.
type Header struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Produce is a call to write records.
type Produce struct {
	Topic      string   `json:"topic"`
	Partition  int      `json:"partition"`
	Acks       string   `json:"acks"`
	Codec      string   `json:"codec"`
	Idempotent bool     `json:"idempotent"`
	Records    []Record `json:"records"`
	// Transaction is how the transaction around the records ends: commit,
	// abort, or empty for no transaction. Only the Java client supports them.
	Transaction string `json:"transaction,omitempty"`
}

// Consume is a call to read records: from an offset, or if Timestamp is not 0
// from the first record with at least this timestamp.
type Consume struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
	Timestamp int64  `json:"timestamp"`
	Count     int    `json:"count"`
}

// hangUp closes a connection that is no longer needed. Errors do not matter.
func hangUp(c io.Closer) { _ = c.Close() }

// unknownOffsets is the result of Produce without acks.
func unknownOffsets(n int) []int64 { return slices.Repeat([]int64{-1}, n) }

// Diff describes the differences between two lists of records; "" if they are
// equal.
func Diff(want, got []Record) string {
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("record %d of %d is missing: %s", i, len(want), want[i])
		case i >= len(want):
			return fmt.Sprintf("unexpected record %d: %s", i, got[i])
		case !want[i].equal(got[i]):
			return fmt.Sprintf("record %d: want %s, got %s", i, want[i], got[i])
		}
	}
	return ""
}

func (r Record) equal(o Record) bool {
	return r.Offset == o.Offset && r.Timestamp == o.Timestamp && same(r.Key, o.Key) && same(r.Value, o.Value) &&
		slices.EqualFunc(r.Headers, o.Headers, func(a, b Header) bool { return a.Key == b.Key && same(a.Value, b.Value) })
}

// same is equality that distinguishes null from empty.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func (r Record) String() string {
	return fmt.Sprintf("{offset %d time %d key %s value %s headers %v}", r.Offset, r.Timestamp, short(r.Key), short(r.Value), r.Headers)
}

func (h Header) String() string { return h.Key + "=" + short(h.Value) }

func short(b []byte) string {
	const limit = 40
	switch {
	case b == nil:
		return "null"
	case len(b) > limit:
		return fmt.Sprintf("%q… (%d bytes)", b[:limit], len(b))
	}
	return fmt.Sprintf("%q", b)
}
