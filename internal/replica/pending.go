package replica

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"ottla/internal/storage"
)

// maxAcksWaiting limits the waiting produce requests of one partition. The
// server also limits them, to 64 per connection.
const maxAcksWaiting = 1 << 17

// Pending is a produce request with acks=all that waits until each of its
// partitions has the records on enough replicas: one channel and one timer,
// however many partitions.
//
//	pending := replica.NewPending()
//	i := pending.Add(partition, appended)
//	…
//	<-pending.Start(timeout)
//	err := pending.Err(i)
//
// Add and Start are called by one goroutine, in that order; the rest by any.
type Pending struct {
	done chan struct{}

	mu      sync.Mutex
	waits   []*ackWait
	left    int // undecided waits
	started bool
	timer   *time.Timer
}

// ackWait waits for one partition's high watermark.
type ackWait struct {
	owner     *Pending
	partition *Partition
	offset    int64 // after the last record
	epoch     int32 // epoch of the append
	// decided and err are guarded by owner.mu.
	decided bool
	err     error
}

// NewPending returns a Pending without waits.
func NewPending() *Pending { return &Pending{done: make(chan struct{})} }

// Add registers a wait until the high watermark of p has passed the appended
// records, and returns the index for Err. The high watermark may have passed
// them already.
func (w *Pending) Add(p *Partition, a storage.Appended) int {
	wait := &ackWait{owner: w, partition: p, offset: a.LastOffset + 1, epoch: a.LeaderEpoch}
	w.mu.Lock()
	w.waits = append(w.waits, wait)
	w.left++
	index := len(w.waits) - 1
	w.mu.Unlock()
	p.await(wait)
	return index
}

// Start starts the timeout and returns the channel that is closed when every
// partition has an outcome. It starts no timer if that is already the case.
func (w *Pending) Start(timeout time.Duration) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started = true
	if w.left == 0 {
		close(w.done)
		return w.done
	}
	w.timer = time.AfterFunc(timeout, w.Cancel)
	return w.done
}

// Err returns the outcome of a partition after the channel was closed: nil,
// ErrTimedOut, ErrNotEnoughReplicasAfterAppend, or the reason why this node no
// longer leads the partition.
func (w *Pending) Err(index int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waits[index].err
}

// Cancel ends the waiting: undecided waits get ErrTimedOut. The timer calls it,
// and so does a connection that closes.
func (w *Pending) Cancel() {
	w.mu.Lock()
	var open []*ackWait
	for _, wait := range w.waits {
		if !wait.decided {
			wait.decided, wait.err = true, ErrTimedOut
			open = append(open, wait)
		}
	}
	w.settle(len(open))
	w.mu.Unlock()
	for _, wait := range open {
		wait.partition.forget(wait)
	}
}

// settle subtracts n decided waits. Called with mu held.
func (w *Pending) settle(n int) {
	if n == 0 {
		return
	}
	w.left -= n
	if w.left == 0 && w.started {
		w.timer.Stop()
		close(w.done)
	}
}

// decide sets the outcome of a wait, unless it has one.
func (w *ackWait) decide(err error) {
	w.owner.mu.Lock()
	defer w.owner.mu.Unlock()
	if w.decided {
		return
	}
	w.decided, w.err = true, err
	w.owner.settle(1)
}

// complete sets the outcome err for every wait. It is called without a
// partition's lock.
func complete(waits []*ackWait, err error) {
	for _, w := range waits {
		w.decide(err)
	}
}

// await registers a wait, or decides it at once. If another node has led since
// the append, the wait gets no ack: the offset may hold other records now.
func (p *Partition) await(w *ackWait) {
	p.mu.Lock()
	err := p.closed
	switch {
	case err != nil:
	case p.state.leader != p.node || w.epoch < p.state.ledSince:
		err = p.notLeader()
	case w.offset <= p.hw.Load():
		err = p.ackOutcome()
	case len(p.acks.waits) >= maxAcksWaiting:
		err = ErrTimedOut
	default:
		p.acks.add(w)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	w.decide(err)
}

// ackOutcome returns the outcome for an offset below the high watermark: the
// ISR may have shrunk since the append. Called with mu held.
func (p *Partition) ackOutcome() error {
	if p.state.underMinISR() {
		return ErrNotEnoughReplicasAfterAppend
	}
	return nil
}

// forget removes a wait that was decided elsewhere.
func (p *Partition) forget(w *ackWait) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acks.remove(w)
}

// ackQueue holds the waits of a partition by ascending offset. Offsets arrive
// almost in order, so an insertion is at or near the end.
type ackQueue struct {
	waits []*ackWait
}

func (q *ackQueue) add(w *ackWait) {
	at := len(q.waits)
	for at > 0 && q.waits[at-1].offset > w.offset {
		at--
	}
	q.waits = slices.Insert(q.waits, at, w)
}

// take removes and returns the waits that a high watermark satisfies.
func (q *ackQueue) take(hw int64) []*ackWait {
	n := 0
	for n < len(q.waits) && q.waits[n].offset <= hw {
		n++
	}
	switch n {
	case 0:
		return nil
	case len(q.waits):
		return q.takeAll()
	}
	taken := slices.Clone(q.waits[:n])
	q.waits = slices.Delete(q.waits, 0, n)
	return taken
}

func (q *ackQueue) takeAll() []*ackWait {
	taken := q.waits
	q.waits = nil
	return taken
}

func (q *ackQueue) remove(w *ackWait) {
	at, _ := slices.BinarySearchFunc(q.waits, w.offset, func(x *ackWait, offset int64) int { return cmp.Compare(x.offset, offset) })
	for ; at < len(q.waits) && q.waits[at].offset == w.offset; at++ {
		if q.waits[at] == w {
			q.waits = slices.Delete(q.waits, at, at+1)
			return
		}
	}
}
