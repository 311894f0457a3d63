package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/record"
)

const (
	topic = "__toys"
	self  = 1
)

var topicID = metadata.UUID{7, 15: 1}

// toy is a machine that remembers the values of its records.
type toy struct {
	// mu lets a test look at values and go on: time that passes in a bubble
	// orders nothing for the race detector.
	mu      sync.Mutex
	values  []string
	pending map[int64][]string
	parked  []Ticket // requests that a later step answers
	silent  bool     // a deadline writes nothing
	timers  Timers[string]
	topics  []string // what was told of topics
	strange []string // topics that the image had otherwise than was told
	loads   int
	ticks   int
}

func (m *toy) Apply(r Record, o Origin) error {
	if string(r.Key) == "bad" {
		return errors.New("bad record")
	}
	if o.ProducerID != NoProducer {
		m.pending[o.ProducerID] = append(m.pending[o.ProducerID], string(r.Value))
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values = append(m.values, string(r.Value))
	return nil
}

func (m *toy) EndTransaction(producerID int64, commit bool) {
	if commit {
		m.values = append(m.values, m.pending[producerID]...)
	}
	delete(m.pending, producerID)
}

func (m *toy) Loaded(Moment) Output {
	m.loads++
	return Output{}
}

func (m *toy) TopicsChanged(at Moment, topics []metadata.TopicDelta) Output {
	if topics == nil {
		m.topics = append(m.topics, "everything")
	}
	last := map[metadata.UUID]*metadata.Topic{}
	for _, d := range topics {
		if d.Old != nil {
			last[d.Old.ID] = nil
		}
		if d.New != nil {
			last[d.New.ID] = d.New
		}
	}
	for id, now := range last {
		if at.Image.TopicByID(id) != now {
			m.strange = append(m.strange, fmt.Sprint(id))
		}
	}
	for _, d := range topics {
		if d.New == nil {
			m.topics = append(m.topics, "no "+d.Old.Name)
		} else {
			m.topics = append(m.topics, d.New.Name)
		}
	}
	return Output{}
}

func (m *toy) Tick(at Moment) Output {
	m.ticks++
	what, due := m.timers.Due(at.Mono)
	if !due {
		return Output{}
	}
	out := write(NoTicket, "due "+what)
	if m.silent {
		out = Output{}
	}
	for _, to := range m.parked {
		out.Replies = append(out.Replies, Reply{to, count(0)})
	}
	m.parked = nil
	return out
}

func (m *toy) Next() (time.Duration, bool) { return m.timers.Next() }

// write is the output that records values and answers how many there are then.
func write(to Ticket, values ...string) Output {
	out := Output{}
	for _, v := range values {
		out.Records = append(out.Records, Record{Key: []byte("k"), Value: []byte(v)})
	}
	if to != NoTicket {
		out.Replies = []Reply{{to, count(len(values))}}
	}
	return out
}

// count is a response that carries a number.
func count(n int) kmsg.Response { return &kmsg.HeartbeatResponse{ThrottleMillis: int32(n)} }

func number(r kmsg.Response) int { return int(r.(*kmsg.HeartbeatResponse).ThrottleMillis) }

// disk is what a crash leaves of a partition, and what the replica does with
// it.
type disk struct {
	mu      sync.Mutex
	batches []record.Batch
	end, hw int64
	epoch   int32
	leads   bool
	// lag keeps the high watermark where it is.
	lag bool
	// failures are the errors of the next appends.
	failures []error
	failRead error
	reading  func() // called before each batch is read
	failOpen error
	closed   error
	max      int
	logs     []*diskLog
}

// diskLog is the Log of one epoch.
type diskLog struct {
	disk    *disk
	epoch   int32
	changed chan struct{}
	closed  bool
}

func (d *disk) open(_, epoch int32) (Log, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failOpen != nil {
		return nil, d.failOpen
	}
	l := &diskLog{disk: d, epoch: epoch, changed: make(chan struct{}, 1)}
	d.logs = append(d.logs, l)
	return l, nil
}

// wake tells every log. It is called with mu held.
func (d *disk) wake() {
	for _, l := range d.logs {
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
}

// catchUp moves the high watermark up to the end.
func (d *disk) catchUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hw = d.end
	d.wake()
}

func (d *disk) change(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	d.wake()
}

// truncate cuts the log at an offset that begins a batch.
func (d *disk) truncate(offset int64) {
	for len(d.batches) > 0 && d.batches[len(d.batches)-1].BaseOffset() >= offset {
		d.end = d.batches[len(d.batches)-1].BaseOffset()
		d.batches = d.batches[:len(d.batches)-1]
	}
}

// values are those of all records.
func (d *disk) values(t testing.TB) []string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, b := range d.batches {
		for r, err := range b.Records(record.NewCodecs()) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(r.Value))
		}
	}
	return all
}

// add appends a batch that no coordinator made.
func (d *disk) add(b record.Batch, err error) {
	if err != nil {
		panic(err)
	}
	b = bytes.Clone(b)
	b.SetBaseOffset(d.end)
	d.batches = append(d.batches, b)
	d.end = b.NextOffset()
	if !d.lag {
		d.hw = d.end
	}
}

var errStale = errors.New("another epoch")

func (l *diskLog) err() error {
	switch {
	case l.disk.closed != nil:
		return l.disk.closed
	case !l.disk.leads || l.disk.epoch != l.epoch:
		return errStale
	}
	return nil
}

func (l *diskLog) Batches() iter.Seq2[record.Batch, error] {
	l.disk.mu.Lock()
	batches, failed, reading := append([]record.Batch(nil), l.disk.batches...), l.disk.failRead, l.disk.reading
	l.disk.mu.Unlock()
	return func(yield func(record.Batch, error) bool) {
		for _, b := range batches {
			if reading != nil {
				reading()
			}
			if failed != nil {
				yield(nil, failed)
				return
			}
			lent := bytes.Clone(b)
			if !yield(lent, nil) {
				return
			}
			clear(lent) // the machine must not keep a byte of it
		}
	}
}

func (l *diskLog) EndOffset() int64 {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	return l.disk.end
}

func (l *diskLog) Append(b record.Batch) (int64, error) {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	if err := l.err(); err != nil {
		return 0, err
	}
	if len(b) > l.disk.max {
		return 0, &record.InvalidError{Kind: record.TooLarge, Message: "too large"}
	}
	if len(l.disk.failures) > 0 {
		err := l.disk.failures[0]
		if l.disk.failures = l.disk.failures[1:]; err != nil {
			return 0, err
		}
	}
	base := l.disk.end
	l.disk.add(b, nil)
	l.disk.wake()
	return base, nil
}

func (l *diskLog) HighWatermark() int64 {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	return l.disk.hw
}

func (l *diskLog) MaxBatchBytes() int       { return l.disk.max }
func (l *diskLog) Changed() <-chan struct{} { return l.changed }
func (l *diskLog) Seen()                    {}

func (l *diskLog) Err() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	return l.err()
}

func (l *diskLog) Close() { l.closed = true }

// world is a runtime over one partition, in a bubble.
type world struct {
	testing.TB
	disk    *disk
	runtime *Runtime[*toy]
	img     *metadata.Image
	log     bytes.Buffer
	// machine is the newest; it belongs to its shard's goroutine, which rests
	// after synctest.Wait.
	machine *toy
	// stood is how long the process stood still, of the time since the start.
	stood atomic.Int64
	// codec compresses what is written from now on.
	codec record.Compression
}

// parkedMost is the bound of parked replies, of which each takes as much as the
// number that it carries.
const parkedMost = 1_000_000

// bubble runs a test in a bubble, at whose end no goroutine may be left.
func bubble(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{TB: t, disk: &disk{max: 1 << 20}, img: metadata.Empty()}
		start := time.Now()
		w.runtime = New(Options[*toy]{
			Topic: topic, NodeID: self, Open: w.disk.open,
			New: func(int32) *toy {
				w.machine = &toy{pending: map[int64][]string{}}
				return w.machine
			},
			Now: time.Now, Elapsed: func() time.Duration { return time.Since(start) - time.Duration(w.stood.Load()) },
			Timeout:     func() time.Duration { return 5 * time.Second },
			Size:        func(r kmsg.Response) int64 { return int64(number(r)) },
			ParkedMost:  func() int64 { return parkedMost },
			Compression: func() record.Compression { return w.codec },
			Codecs:      record.NewCodecs(), Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		})
		defer w.runtime.Close()
		test(w)
		w.runtime.Close()
		for _, l := range w.disk.logs {
			if !l.closed {
				t.Error("a log is left open")
			}
		}
	})
}

// publish applies records to the image and lets the runtime follow.
func (w *world) publish(records ...metadata.Message) {
	w.Helper()
	next, delta, err := w.img.Apply(records, w.img.Offset+int64(len(records)), 1)
	if err != nil {
		w.Fatal(err)
	}
	w.img = next
	w.runtime.Follow(next, delta)
}

// lead makes this node, or another, the leader in the next epoch.
func (w *world) lead(leader int32) {
	w.Helper()
	w.disk.change(func() { w.disk.epoch, w.disk.leads = w.disk.epoch+1, leader == self })
	if w.img.TopicByID(topicID) == nil {
		part := metadata.NewPartitionRecord()
		part.PartitionID, part.TopicID, part.Replicas, part.ISR = 0, topicID, []int32{1, 2}, []int32{1, 2}
		part.Directories = make([]metadata.UUID, 2)
		part.Leader, part.LeaderEpoch, part.PartitionEpoch = leader, w.disk.epoch, w.disk.epoch
		w.publish(&metadata.TopicRecord{Name: topic, TopicID: topicID}, part)
		return
	}
	change := metadata.NewPartitionChangeRecord()
	change.PartitionID, change.TopicID, change.Leader = 0, topicID, leader
	w.publish(change)
}

// do runs a step to its end.
func (w *world) do(step Step[*toy]) (int, error) {
	resp, err := w.runtime.Do(context.Background(), 0, step)
	if err != nil {
		return 0, err
	}
	return number(resp), nil
}

// write records values.
func (w *world) write(values ...string) error {
	_, err := w.do(func(_ *toy, _ Moment, to Ticket) Output { return write(to, values...) })
	return err
}

// read returns how many values there are.
func (w *world) read() (int, error) {
	return w.do(func(m *toy, _ Moment, to Ticket) Output { return Answer(to, count(len(m.values))) })
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) want(err, want error, when string) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Errorf("%s: %v, want %v", when, err, want)
	}
}

func (w *world) wantValues(want ...string) {
	w.Helper()
	synctest.Wait()
	w.machine.mu.Lock()
	defer w.machine.mu.Unlock()
	if fmt.Sprint(w.machine.values) != fmt.Sprint(want) {
		w.Errorf("the machine has %v, want %v", w.machine.values, want)
	}
}
