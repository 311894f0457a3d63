package coordinator

// queue is a first-in-first-out list in a ring that grows, and is let go when a
// herd has passed.
type queue[T any] struct {
	ring  []T
	first int
	count int
}

// ringKept is the largest ring that an empty queue keeps.
const ringKept = 256

// front is the oldest element, nil when there is none.
func (q *queue[T]) front() *T {
	if q.count == 0 {
		return nil
	}
	return &q.ring[q.first]
}

// pop removes the oldest element.
func (q *queue[T]) pop() {
	var zero T
	q.ring[q.first] = zero
	q.first = (q.first + 1) % len(q.ring)
	if q.count--; q.count == 0 && len(q.ring) > ringKept {
		q.ring, q.first = nil, 0
	}
}

func (q *queue[T]) push(v T) {
	if q.count == len(q.ring) {
		grown := make([]T, max(8, 2*len(q.ring)))
		n := copy(grown, q.ring[q.first:])
		copy(grown[n:], q.ring[:q.first])
		q.ring, q.first = grown, 0
	}
	q.ring[(q.first+q.count)%len(q.ring)] = v
	q.count++
}
