package broker

import (
	"context"
	"sync"
)

// producerIDs hands out producer ids from a block that the controller gave
// this broker, and asks for the next block when it is used up. A block that a
// restart interrupts is lost: ids are never handed out twice (T1).
type producerIDs struct {
	allocate func(context.Context) (first int64, count int32, err error)

	mu         sync.Mutex
	next, last int64 // next to hand out, and the first that is not the block's
}

// Next hands out an id. Callers wait for each other while a block is fetched.
func (p *producerIDs) Next(ctx context.Context) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
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
