package coordinator

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/record"
)

// state is how far a shard is.
type state uint8

const (
	loading state = iota
	active
	ended    // it takes nothing any more
	unopened // ended, before there was a log
)

// shard is a machine and its partition, in one leader epoch.
type shard[M Machine] struct {
	runtime   *Runtime[M]
	topic     metadata.UUID
	partition int32
	epoch     int32
	// before is the shard of an earlier epoch, whose end this one waits for.
	before *shard[M]

	called   chan struct{} // a token: calls has something
	topics   chan struct{} // a token: news has topics
	stopping chan struct{}
	done     chan struct{}

	mu      sync.Mutex // memory only
	state   state
	stopped bool
	calls   queue[*Call[M]]
	news    news

	// reported tells that there are news.
	reported atomic.Bool

	// What follows belongs to the goroutine.
	image   *metadata.Image // of which the machine was told every change
	machine M
	log     Log
	builder record.Builder
	// applied is the offset after the last record applied: every reply waits
	// until the high watermark is there.
	applied int64
	next    Ticket
	waiting map[Ticket]*Call[M]
	sweepAt int // number of waiting at which those who left are looked for
	parked  queue[parked[M]]
	size    int64 // of the parked responses
	timer   *time.Timer
	armed   time.Duration // what the timer is set for; valid while set
	set     bool
	// Deadlines until due are over, and are looked at once the oldest ahead of the
	// requests in the queue were served.
	due   time.Duration
	ahead int
}

// news is what Follow brought and the machine was not told yet: an image, and the
// changes that led to it. They are handed over together, so that a change is
// never judged by the image before it.
type news struct {
	image   *metadata.Image
	topics  []metadata.TopicDelta
	tooMany bool // topics was given up
}

// add takes the next image; it tells whether topics changed.
func (n *news) add(img *metadata.Image, topics []metadata.TopicDelta) bool {
	n.image = img
	if n.tooMany = n.tooMany || len(n.topics)+len(topics) > maxDeltas; n.tooMany {
		n.topics = nil
	} else {
		n.topics = append(n.topics, topics...)
	}
	return len(topics) > 0
}

// parked is a reply that waits for the high watermark.
type parked[M Machine] struct {
	call     *Call[M]
	response kmsg.Response
	offset   int64
	deadline time.Duration
	size     int64
}

// newShard returns a shard that begins with the runtime's image: changes before
// that are no news to it.
func newShard[M Machine](r *Runtime[M], topic metadata.UUID, partition, epoch int32, before *shard[M]) *shard[M] {
	return &shard[M]{
		runtime: r, topic: topic, partition: partition, epoch: epoch, before: before, image: r.Image(),
		called: make(chan struct{}, 1), topics: make(chan struct{}, 1),
		stopping: make(chan struct{}), done: make(chan struct{}),
		waiting: map[Ticket]*Call[M]{}, sweepAt: minSweep,
	}
}

// minSweep is the least number of waiting requests that are searched for
// callers who left.
const minSweep = 64

// enqueue hands a request to the shard.
func (s *shard[M]) enqueue(c *Call[M]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case loading:
		return ErrLoading
	case active:
	default:
		return ErrNotCoordinator
	}
	if s.calls.count >= maxQueued {
		return ErrLoading
	}
	s.calls.push(c)
	signal(s.called)
	return nil
}

// dequeue takes the request that has waited longest; nil when there is none.
func (s *shard[M]) dequeue() *Call[M] {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.calls.front()
	if first == nil {
		return nil
	}
	c := *first
	if s.calls.pop(); s.calls.count > 0 {
		signal(s.called)
	}
	return c
}

// queued is the number of requests that wait for their turn.
func (s *shard[M]) queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls.count
}

// signal puts a token into a channel for one.
func signal(token chan<- struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}

// follow notes an image and what became of topics since the one before. Only
// the latter wakes the shard.
func (s *shard[M]) follow(img *metadata.Image, topics []metadata.TopicDelta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.news.add(img, topics)
	s.reported.Store(true)
	if changed {
		signal(s.topics)
	}
}

// takeNews takes what follow noted.
func (s *shard[M]) takeNews() (n news, some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, some = s.news, s.reported.Swap(false)
	s.news = news{}
	return n, some
}

// stop tells the shard to end. Runtime.mu is held.
func (s *shard[M]) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.stopped = true
		close(s.stopping)
	}
}

func (s *shard[M]) unopened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == unopened
}

// run is the shard's goroutine.
func (s *shard[M]) run() {
	defer close(s.done)
	if s.before != nil {
		<-s.before.done
		s.before = nil
	}
	if err := s.open(); err != nil {
		s.end(unopened)
		s.report("a coordinator cannot be loaded", err)
		return
	}
	defer s.log.Close()
	if err := s.load(); err != nil {
		s.end(ended)
		s.report("a coordinator cannot be loaded", err)
		return
	}
	s.timer = time.NewTimer(0)
	defer s.timer.Stop()
	err := s.loop()
	s.end(ended)
	s.report("a coordinator ended", err)
}

// report tells the operator why the shard is not there, unless it was told to
// go, or another leads now.
func (s *shard[M]) report(what string, err error) {
	if errors.Is(err, ErrNotCoordinator) {
		return
	}
	select {
	case <-s.stopping:
	default:
		s.runtime.options.Log.Error(what, "topic", s.runtime.options.Topic, "partition", s.partition, "epoch", s.epoch, "error", err)
	}
}

// open waits for its turn to load, and opens the log.
func (s *shard[M]) open() (err error) {
	select {
	case s.runtime.loads <- struct{}{}:
	case <-s.stopping:
		return ErrNotCoordinator
	}
	if s.log, err = s.runtime.options.Open(s.partition, s.epoch); err != nil {
		<-s.runtime.loads
	}
	return err
}

// loop serves until it is told to stop, or the log is over.
func (s *shard[M]) loop() error {
	for {
		s.tick()
		s.release()
		s.arm()
		select {
		case <-s.stopping:
			return ErrNotCoordinator
		case <-s.log.Changed():
			s.log.Seen()
			if err := s.log.Err(); err != nil {
				return err
			}
		case <-s.timer.C:
			s.set = false
		case <-s.topics:
			s.now()
		case <-s.ready():
			if c := s.dequeue(); c != nil {
				s.ahead = max(0, s.ahead-1)
				s.serve(c)
			}
		}
	}
}

// ready is called, unless the parked replies take too much memory.
func (s *shard[M]) ready() <-chan struct{} {
	if o := &s.runtime.options; o.ParkedMost != nil && s.size > o.ParkedMost() {
		return nil
	}
	return s.called
}

// now is the moment of the next step. The machine is told first what became of
// topics until then: a topic that was deleted and created again must have lost
// its past before something is decided on it.
func (s *shard[M]) now() Moment {
	if s.reported.Load() {
		if n, some := s.takeNews(); some {
			s.image = n.image
			if n.tooMany || len(n.topics) > 0 {
				s.carryOut(s.machine.TopicsChanged(s.moment(), n.topics))
			}
		}
	}
	return s.moment()
}

func (s *shard[M]) moment() Moment {
	o := &s.runtime.options
	return Moment{Wall: o.Now().UnixMilli(), Mono: o.Elapsed(), Image: s.image}
}

// tick does one thing that is due, if the requests that came before were served;
// the timer brings it back for the next.
func (s *shard[M]) tick() {
	next, some := s.machine.Next()
	if some && next > s.due {
		if now := s.runtime.options.Elapsed(); next <= now {
			s.due, s.ahead = now, s.queued()
		}
	}
	if !some || next > s.due || s.ahead > 0 {
		return
	}
	if at := s.now(); next <= at.Mono {
		s.carryOut(s.machine.Tick(at))
	}
}

// arm sets the timer to the next thing that is due: the machine's, or the
// timeout of the oldest parked reply. What waits for requests needs no timer:
// the last of them brings it.
func (s *shard[M]) arm() {
	next, some := s.machine.Next()
	some = some && (s.ahead == 0 || next > s.due)
	if first := s.parked.front(); first != nil && (!some || first.deadline < next) {
		next, some = first.deadline, true
	}
	switch {
	case !some:
		if s.set {
			s.timer.Stop()
			s.set = false
		}
	case !s.set || next != s.armed:
		s.timer.Reset(max(next-s.runtime.options.Elapsed(), 0))
		s.armed, s.set = next, true
	}
}

// serve has the machine decide a request.
func (s *shard[M]) serve(c *Call[M]) {
	if len(s.waiting) >= s.sweepAt {
		s.sweep()
	}
	if len(s.waiting) >= maxWaiting {
		c.finish(nil, ErrLoading)
		return
	}
	at := s.now()
	s.next++
	out, decided := c.decide(s.machine, at, s.next)
	if !decided {
		return
	}
	s.waiting[s.next] = c
	s.carryOut(out)
}

// sweep forgets the requests whose callers left. The next sweep comes when
// twice as many wait as now.
func (s *shard[M]) sweep() {
	for t, c := range s.waiting {
		if c.left() {
			delete(s.waiting, t)
		}
	}
	s.sweepAt = max(minSweep, 2*len(s.waiting))
}

// carryOut is Output's three steps.
func (s *shard[M]) carryOut(out Output) {
	if err := s.write(out); err != nil {
		if len(out.Replies) == 0 {
			s.runtime.options.Log.Warn("a coordinator could not write", "topic", s.runtime.options.Topic, "partition", s.partition, "error", err)
		}
		for _, r := range out.Replies {
			if c := s.take(r.To); c != nil {
				c.finish(nil, err)
			}
		}
		return
	}
	deadline := s.runtime.options.Elapsed() + s.runtime.options.Timeout()
	for _, r := range out.Replies {
		if c := s.take(r.To); c != nil {
			s.park(parked[M]{call: c, response: r.Response, offset: s.applied, deadline: deadline})
		}
	}
}

// park lets a reply wait for the high watermark; unpark answers the oldest.
func (s *shard[M]) park(p parked[M]) {
	if size := s.runtime.options.Size; size != nil && p.response != nil {
		p.size = size(p.response)
	}
	s.size += p.size
	s.parked.push(p)
}

func (s *shard[M]) unpark(response kmsg.Response, err error) {
	p := s.parked.front()
	s.size -= p.size
	p.call.finish(response, err)
	s.parked.pop()
}

// take takes the request of a ticket out of the waiting; nil when there is
// none.
func (s *shard[M]) take(t Ticket) *Call[M] {
	c := s.waiting[t]
	delete(s.waiting, t)
	return c
}

// release lets the replies go that may be told, and those that waited too
// long.
func (s *shard[M]) release() {
	if s.parked.front() == nil {
		return
	}
	hw := s.log.HighWatermark()
	for p := s.parked.front(); p != nil && p.offset <= hw; p = s.parked.front() {
		s.unpark(p.response, nil)
	}
	if s.parked.front() == nil {
		return
	}
	now := s.runtime.options.Elapsed()
	for p := s.parked.front(); p != nil && p.deadline <= now; p = s.parked.front() {
		s.unpark(nil, ErrTimedOut)
	}
}

// end answers everybody that the shard is gone. Nobody comes after.
func (s *shard[M]) end(as state) {
	s.mu.Lock()
	s.state = as
	s.mu.Unlock()
	for c := s.dequeue(); c != nil; c = s.dequeue() {
		c.finish(nil, ErrNotCoordinator)
	}
	for _, c := range s.waiting {
		c.finish(nil, ErrNotCoordinator)
	}
	for p := s.parked.front(); p != nil; p = s.parked.front() {
		s.unpark(nil, ErrNotCoordinator)
	}
	s.waiting = nil
}

// write appends the records of an output and applies them.
func (s *shard[M]) write(out Output) error {
	for records := out.Records; len(records) > 0; {
		n := len(records)
		if out.Split {
			n = fitting(records, s.log.MaxBatchBytes())
		}
		if err := s.append(records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// recordOverhead is more than a record's lengths, deltas and attributes take.
const recordOverhead = 32

// fitting is the number of records that one batch can hold; at least one, which
// is refused by the log if it alone is too large.
func fitting(records []Record, limit int) int {
	size := record.HeaderLen
	for i, r := range records {
		if size += len(r.Key) + len(r.Value) + recordOverhead; size > limit && i > 0 {
			return i
		}
	}
	return len(records)
}

// append writes one batch and applies it.
func (s *shard[M]) append(records []Record) error {
	o := &s.runtime.options
	timestamp := o.Now().UnixMilli()
	s.builder.Reset(record.BuilderOptions{Compression: o.Compression(), Codecs: o.Codecs})
	for _, r := range records {
		s.builder.Append(timestamp, r.Key, r.Value)
	}
	batch, err := s.builder.Build()
	if err != nil {
		return err
	}
	base, err := s.log.Append(batch)
	if err != nil {
		return err
	}
	for i, r := range records {
		s.apply(r, Origin{Offset: base + int64(i), Timestamp: timestamp, ProducerID: NoProducer})
	}
	s.applied = base + int64(len(records))
	return nil
}

// apply folds a record; one that cannot be of this topic is named and skipped.
func (s *shard[M]) apply(r Record, o Origin) {
	if err := s.machine.Apply(r, o); err != nil {
		s.runtime.options.Log.Error("a record is skipped", "topic", s.runtime.options.Topic, "partition", s.partition, "offset", o.Offset, "error", err)
	}
}

// load is step 2 of Runtime.
func (s *shard[M]) load() error {
	err := s.replay()
	<-s.runtime.loads
	if err != nil {
		return fmt.Errorf("load %s-%d: %w", s.runtime.options.Topic, s.partition, err)
	}
	at := s.moment()
	s.carryOut(s.machine.Loaded(at))
	s.mu.Lock()
	s.state = active
	s.mu.Unlock()
	return nil
}

func (s *shard[M]) replay() error {
	s.machine = s.runtime.options.New(s.partition)
	s.applied = s.log.EndOffset()
	for batch, err := range s.log.Batches() {
		if err != nil {
			return err
		}
		select {
		case <-s.stopping:
			return ErrNotCoordinator
		default:
		}
		if err := s.replayBatch(batch); err != nil {
			return err
		}
	}
	return nil
}

// replayBatch applies the records of a batch. What its producer's transaction
// will come to is told by a marker further on.
func (s *shard[M]) replayBatch(batch record.Batch) error {
	producer := NoProducer
	if batch.IsTransactional() && batch.HasProducer() {
		producer = batch.ProducerID()
	}
	for r, err := range batch.Records(s.runtime.options.Codecs) {
		if err != nil {
			return err
		}
		if !batch.IsControl() {
			s.apply(Record{r.Key, r.Value}, Origin{Offset: r.Offset, Timestamp: r.Timestamp, ProducerID: producer})
			continue
		}
		kind, err := record.ParseControlKey(r.Key)
		if err != nil {
			return err
		}
		if kind == record.ControlCommit || kind == record.ControlAbort {
			s.machine.EndTransaction(batch.ProducerID(), kind == record.ControlCommit)
		}
	}
	return nil
}
