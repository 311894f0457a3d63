package broker

import (
	"context"
	"time"
)

// producerIDs hands out producer ids from a block that the controller gave
// this broker, and asks for the next block when it is used up. A block that a
// restart interrupts is lost: ids are never handed out twice (T1).
type producerIDs struct {
	allocate func(context.Context) (first int64, count int32, err error)

	turn       chan struct{} // whoever puts the token in has next and last
	next, last int64         // next to hand out, and the first that is not the block's
}

// producerIDTimeout bounds how long a caller waits, for others and for the
// controller together.
const producerIDTimeout = 5 * time.Second

func newProducerIDs(allocate func(context.Context) (first int64, count int32, err error)) *producerIDs {
	return &producerIDs{allocate: allocate, turn: make(chan struct{}, 1)}
}

// Next hands out an id. Callers wait for each other while a block is fetched, but
// none for longer than until ctx is done.
func (p *producerIDs) Next(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, producerIDTimeout)
	defer cancel()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return -1, context.Cause(ctx)
	}
	if p.next == p.last {
		first, count, err := p.allocate(ctx)
		if err != nil {
			return -1, err
		}
		p.next, p.last = first, first+int64(count)
	}
	id := p.next
	p.next++
	return id, nil
}
