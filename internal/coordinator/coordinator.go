// Package coordinator binds a state machine to a partition of an internal
// topic: it loads it, hands it requests one at a time, appends what it decides,
// and lets the replies go when they may be told.
//
// A Machine is pure: no clock, no lock, no I/O. The Runtime is its shell: one
// goroutine for each partition that this node leads. Groups are such machines
// over __consumer_offsets; transactions and share groups are others.
//
// Start reading at Machine, then Runtime.
package coordinator

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
)

// Machine is the state of one partition of an internal topic, and what decides
// on it. Its methods are called by one goroutine.
//
// What a machine holds is of two kinds:
//
//   - durable: a fold of the records. Only Apply and EndTransaction change it.
//   - soft: sessions, timers, who waits for what. A step changes it at once, and
//     it is gone when the partition moves.
//
// So an append that fails leaves the durable state as it was: the Runtime tells
// those whose replies hung on it and goes on.
type Machine interface {
	// Apply folds one record: right after it was appended here, and at load. Key
	// and value are the machine's until it returns, and no longer. An
	// error says that the record cannot be one of this topic; at load the
	// record is skipped and named in the log.
	Apply(r Record, o Origin) error
	// EndTransaction decides the records of a producer's open transaction, which
	// came with Origin.ProducerID.
	EndTransaction(producerID int64, commit bool)
	// Loaded is called once, when every record was applied and before the first
	// request: sessions begin now.
	Loaded(at Moment) Output
	// TopicsChanged tells what became of topics since the last call, in order;
	// nil stands for more than could be listed. at.Image is the one that these
	// changes led to, and no step sees an Image before they were told.
	TopicsChanged(at Moment, topics []metadata.TopicDelta) Output
	// Tick does one thing that is due, if there is one: the next is decided when
	// the records of this one are applied. It is called until Next is in the
	// future.
	Tick(at Moment) Output
	// Next is when Tick is wanted (Moment.Mono); false: not until something
	// happens.
	Next() (time.Duration, bool)
}

// Moment is when, and in which cluster, something is decided.
type Moment struct {
	// Wall is the clock of timestamps and expiry, in ms since 1970. It may jump.
	Wall int64
	// Mono is the time that the process ran, which never goes back: it is what
	// sessions and timeouts count by. It stands still while the process does.
	Mono time.Duration
	// Image is the committed metadata.
	Image *metadata.Image
}

// Ticket names a request that waits for its reply.
type Ticket uint64

// NoTicket belongs to nobody; replies to it are dropped.
const NoTicket Ticket = 0

// Record is a record of an internal topic. Both begin with an int16: the key's
// type, the value's version. A nil Value is a tombstone.
type Record struct{ Key, Value []byte }

// Origin says where a record came from.
type Origin struct {
	Offset int64
	// Timestamp is the record's, in ms.
	Timestamp int64
	// ProducerID is that of a transaction that is not decided yet, -1 for a
	// record that holds at once.
	ProducerID int64
}

// NoProducer is the ProducerID of records outside transactions.
const NoProducer int64 = -1

// Output is what a step decided.
//
//  1. Records are appended as one batch, all or nothing. If that fails, the
//     callers of Replies get the error instead, and step 2 does not happen.
//  2. Each record is applied.
//  3. Each reply leaves once everything applied so far, by this step or by
//     earlier ones, is below the high watermark: nobody is told what a crash
//     could take back.
type Output struct {
	Records []Record
	Replies []Reply
	// Split allows Records to be appended in several batches, for lists that
	// grow with the number of groups: each record must make sense by itself.
	Split bool
}

// Reply answers a request, maybe one of an earlier step.
type Reply struct {
	To       Ticket
	Response kmsg.Response
}

// Answer is the output of a step that changes nothing durable.
func Answer(to Ticket, response kmsg.Response) Output {
	return Output{Replies: []Reply{{to, response}}}
}

// Add appends another step's output to o. The records may be split where those
// of both may; an output without records does not mind.
func (o *Output) Add(other Output) {
	o.Split = (o.Split || len(o.Records) == 0) && (other.Split || len(other.Records) == 0)
	o.Records = append(o.Records, other.Records...)
	o.Replies = append(o.Replies, other.Replies...)
}
