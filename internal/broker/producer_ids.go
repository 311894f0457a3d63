package broker

import (
	"context"
	"math"
	"math/rand/v2"
	"time"
)

// producerIDs hands out producer ids from a block that the controller gave
// this broker, and asks for the next block when it is used up. A block that a
// restart interrupts is lost: ids are never handed out twice (T1).
//
// Ids ascend with gaps at random. Nothing but the id tells a partition who a new
// producer is: a stranger that writes the first record of an id that comes next
// would have the owner's acknowledged as a duplicate and lost.
type producerIDs struct {
	allocate func(context.Context) (first int64, count int32, err error)

	turn       chan struct{} // whoever puts the token in has what follows
	random     *rand.Rand
	next, last int64 // the first that may be handed out, and the first that is not the block's
}

// producerIDGap divides all ids that are left: the quotient bounds a gap, 2^28 in
// a new cluster. There are many gaps in a block of the controller.
const producerIDGap = 1 << 35

// producerIDTimeout bounds how long a caller waits, for others and for the
// controller together.
const producerIDTimeout = 5 * time.Second

func newProducerIDs(random *rand.Rand, allocate func(context.Context) (first int64, count int32, err error)) *producerIDs {
	return &producerIDs{allocate: allocate, turn: make(chan struct{}, 1), random: random}
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
	skip := p.random.Int64N(1 + (math.MaxInt64-p.next)/producerIDGap)
	if skip >= p.last-p.next {
		first, count, err := p.allocate(ctx)
		if err != nil {
			return -1, err
		}
		p.next, p.last = first, first+int64(count)
		skip = p.random.Int64N(min(1+(math.MaxInt64-first)/producerIDGap, int64(count)))
	}
	id := p.next + skip
	p.next = id + 1
	return id, nil
}
