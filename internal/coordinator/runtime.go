package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/record"
)

// The errors of a request that its shard did not answer. Those of an append
// come through as they are, wrapped.
var (
	// ErrNotCoordinator: this node does not lead the partition, or not any more.
	// NOT_COORDINATOR.
	ErrNotCoordinator = errors.New("not the coordinator")
	// ErrLoading: the state is being loaded (G7), or so many requests wait that
	// this one must come again. Kafka has no bound and thus no error for the
	// latter; a client takes this one for a pause, and does not look for another
	// coordinator, which would only be more work. COORDINATOR_LOAD_IN_PROGRESS.
	ErrLoading = errors.New("the coordinator is loading")
	// ErrTimedOut: decided and written, but not committed in time.
	// REQUEST_TIMED_OUT.
	ErrTimedOut = errors.New("timed out waiting for the replicas of the coordinator's topic")
)

// The bounds of a shard.
const (
	maxQueued   = 1 << 14 // requests that wait for their turn
	maxWaiting  = 1 << 16 // requests without an answer
	maxDeltas   = 1 << 10 // changed topics that are listed one by one
	loadingMost = 4       // shards that load at once
)

// Options are what a Runtime needs.
type Options[M Machine] struct {
	// Topic is the internal topic.
	Topic  string
	NodeID int32
	// Open opens a partition that this node leads in that epoch.
	Open func(partition, epoch int32) (Log, error)
	// New makes the machine of a partition, empty.
	New func(partition int32) M
	// Now is the wall clock; Elapsed the time that the process ran, which never
	// goes back. It may fall behind package time's timers: it stands still while
	// the process does.
	Now     func() time.Time
	Elapsed func() time.Duration
	// Timeout bounds how long a reply waits for the high watermark.
	Timeout func() time.Duration
	// Size is about how many bytes a response takes, 0 for little. ParkedMost
	// bounds what the replies of a shard that wait for the high watermark take:
	// beyond it the shard takes no request. Without them nothing is counted.
	Size       func(kmsg.Response) int64
	ParkedMost func() int64
	// Compression is the codec of the batches; Codecs compress, and read what
	// others compressed.
	Compression func() record.Compression
	Codecs      *record.Codecs
	Log         *slog.Logger
}

// Runtime runs a Machine for each partition of an internal topic that this node
// leads. Such a pair of machine and partition is a shard: one goroutine, one
// bounded queue, one timer.
//
//  1. Follow starts a shard when this node becomes the leader of a partition,
//     and stops it when it is not, or leads in another epoch: what an epoch
//     left in memory says nothing about the log of the next.
//  2. The shard loads: it applies every record of the log, from start to end,
//     in pieces. Control records end transactions. Requests are refused with
//     ErrLoading meanwhile.
//  3. Then it takes one request after the other. A step decides on the newest
//     state, committed or not; its records are appended as one batch, in the
//     shard's own leader epoch, so that a shard that should be gone cannot write;
//     then they are applied.
//     A deadline is looked at after the requests that were in the queue when it
//     was found to be over: a heartbeat that waited for its turn came in time.
//  4. The replies are parked behind the offset of the last record applied, in
//     order, and leave when the high watermark passes it; those of steps that
//     wrote nothing, too, since they may tell of records that are not committed.
//     The replica wakes the shard; nothing polls. While the parked replies take
//     more than Options.ParkedMost no request is taken: the requests wait in the
//     queue, and their connections are not read. That ends with Timeout at the
//     latest.
//  5. A failed append changes nothing: the step's callers get the error.
//  6. When a shard ends, whoever waits gets ErrNotCoordinator. What was appended
//     may come to be committed all the same, as after any lost answer.
//
// Rejected: Kafka's snapshots of every map (timeline data structures), from
// which reads are answered as of the last commit. Here a read waits as long as a
// write would, a flush at most, and the state has no second form. Rejected, too:
// several partitions on one goroutine. A step that writes blocks in its append,
// and others should not wait for that disk.
type Runtime[M Machine] struct {
	options Options[M]
	image   atomic.Pointer[metadata.Image]
	loads   chan struct{} // a token for each shard that loads
	started sync.WaitGroup

	mu     sync.RWMutex // memory only
	shards map[int32]*shard[M]
	closed bool
}

// New returns a runtime without shards; Follow brings them.
func New[M Machine](o Options[M]) *Runtime[M] {
	r := &Runtime[M]{options: o, loads: make(chan struct{}, loadingMost), shards: map[int32]*shard[M]{}}
	r.image.Store(metadata.Empty())
	return r
}

// Image is the metadata that Follow brought last.
func (r *Runtime[M]) Image() *metadata.Image { return r.image.Load() }

// Follow takes a change of the committed metadata, after the replicas took it.
// The first call brings everything, with the delta from an empty image. It does
// not wait for anything.
func (r *Runtime[M]) Follow(img *metadata.Image, delta *metadata.Delta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	for _, s := range r.shards {
		s.follow(img, delta.Topics)
	}
	r.image.Store(img)
	for _, d := range delta.Topics {
		if d.Old != nil && d.Old.Name == r.options.Topic && d.New == nil {
			r.stopAll(d.Old.ID)
		}
	}
	for _, d := range delta.Topics {
		if d.New == nil || d.New.Name != r.options.Topic {
			continue
		}
		for _, id := range d.Partitions {
			r.lead(d.New, id)
		}
	}
}

// Retry starts the shards again whose partition could not be opened. Its owner
// calls it from time to time; there is nothing to do unless a disk was full.
func (r *Runtime[M]) Retry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.image.Load().TopicByName(r.options.Topic)
	if t == nil {
		return
	}
	for id, s := range r.shards {
		if s.unopened() {
			delete(r.shards, id)
			r.lead(t, id)
		}
	}
}

// lead makes the shard of a partition what the metadata says. Called with mu
// held.
func (r *Runtime[M]) lead(t *metadata.Topic, id int32) {
	p, old := t.Partition(id), r.shards[id]
	leads := p != nil && p.Leader == r.options.NodeID
	if old != nil {
		if leads && old.topic == t.ID && old.epoch == p.LeaderEpoch {
			return
		}
		old.stop()
		delete(r.shards, id)
	}
	if leads {
		s := newShard(r, t.ID, id, p.LeaderEpoch, old)
		r.shards[id] = s
		r.started.Go(s.run)
	}
}

// stopAll stops the shards of a topic that went. Called with mu held.
func (r *Runtime[M]) stopAll(topic metadata.UUID) {
	for id, s := range r.shards {
		if s.topic == topic {
			s.stop()
			delete(r.shards, id)
		}
	}
}

// Close stops all shards and returns when none runs any more.
func (r *Runtime[M]) Close() {
	r.mu.Lock()
	r.closed = true
	for id, s := range r.shards {
		s.stop()
		delete(r.shards, id)
	}
	r.mu.Unlock()
	r.started.Wait()
}

// Led lists the partitions that have a shard here, in no order, loaded or not.
func (r *Runtime[M]) Led() []int32 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids := make([]int32, 0, len(r.shards))
	for id := range r.shards {
		ids = append(ids, id)
	}
	return ids
}

// Step decides a request: it is called in the shard's goroutine, and must not
// wait. It answers to the ticket now, or lets a later step do so. What it reads
// of the request is the caller's: records and state get copies.
type Step[M Machine] func(m M, at Moment, to Ticket) Output

// Do has a shard decide a request, and returns the answer once it may be told.
// The error is one of this package's, one of the append, or ctx's cause.
func (r *Runtime[M]) Do(ctx context.Context, partition int32, step Step[M]) (kmsg.Response, error) {
	return r.Begin(ctx, partition, step).Wait()
}

// Begin is Do for a request that asks several shards: the answer is taken by
// Wait.
func (r *Runtime[M]) Begin(ctx context.Context, partition int32, step Step[M]) *Call[M] {
	c := &Call[M]{ctx: ctx, step: step, done: make(chan struct{})}
	r.mu.RLock()
	s := r.shards[partition]
	r.mu.RUnlock()
	if s == nil {
		c.finish(nil, ErrNotCoordinator)
		return c
	}
	if err := s.enqueue(c); err != nil {
		c.finish(nil, err)
	}
	return c
}

// Refused is a call that no shard decides: its Wait returns err.
func Refused[M Machine](err error) *Call[M] {
	c := &Call[M]{ctx: context.Background(), done: make(chan struct{})}
	c.finish(nil, err)
	return c
}

// Call is a request on its way.
type Call[M Machine] struct {
	ctx  context.Context
	step Step[M]

	mu   sync.Mutex // held while the step decides
	gone bool       // nobody waits any more

	done     chan struct{}
	response kmsg.Response // after done
	err      error
}

// Wait returns the answer. It is called once.
func (c *Call[M]) Wait() (kmsg.Response, error) {
	select {
	case <-c.done:
		return c.response, c.err
	default:
	}
	select {
	case <-c.done:
		return c.response, c.err
	case <-c.ctx.Done():
		c.mu.Lock()
		c.gone = true
		c.mu.Unlock()
		return nil, context.Cause(c.ctx)
	}
}

// left tells whether nobody waits any more.
func (c *Call[M]) left() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// decide runs the step, unless nobody waits any more: when Wait has returned,
// the step does not run, or was through before. So it may read what belongs to
// the caller.
func (c *Call[M]) decide(m M, at Moment, to Ticket) (out Output, decided bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return Output{}, false
	}
	return c.step(m, at, to), true
}

// finish is called once, by whoever took the call out of the waiting.
func (c *Call[M]) finish(response kmsg.Response, err error) {
	c.response, c.err = response, err
	close(c.done)
}
