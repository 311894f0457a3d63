package broker

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestProducerIDsHaveGaps: ids ascend, each by a gap that cannot be guessed from
// those before, within the blocks that the controller gave, down to small ones
// and to the last ids there are.
func TestProducerIDsHaveGaps(t *testing.T) {
	for _, c := range []struct {
		name      string
		first     int64
		count     int32
		gap       int64 // the largest, within a block
		perBlock  float64
		tolerance float64
	}{
		{"a new cluster", 1 << 59, math.MaxInt32, 1 << 28, 17, 5},
		{"half used up", 1 << 62, math.MaxInt32, 1 << 27, 33, 8},
		{"blocks of Apache Kafka", 5000, 1000, 1000, 1, 1},
		{"little left", math.MaxInt64 - 1<<36, 1000, 3, 500, 150},
		{"next to nothing left", math.MaxInt64 - 300_000, 1000, 1, 1000, 0},
	} {
		var last int64
		blocks, block := 0, c.first-int64(c.count)
		ids := newProducerIDs(rand.New(rand.NewPCG(3, 4)), func(context.Context) (int64, int32, error) {
			blocks++
			block += int64(c.count)
			return block, c.count, nil
		})
		const n = 3000
		gaps := map[int64]int{}
		for range n {
			before := blocks
			id, err := ids.Next(t.Context())
			if err != nil || id <= last || id < block || id >= block+int64(c.count) {
				t.Fatalf("%s: %d after %d in the block from %d, %v", c.name, id, last, block, err)
			}
			if gap := id - last; blocks == before {
				gaps[gap]++
				if gap > c.gap {
					t.Fatalf("%s: a gap of %d", c.name, gap)
				}
			}
			last = id
		}
		if per := float64(n) / float64(blocks); per < c.perBlock-c.tolerance || per > c.perBlock+c.tolerance+0.5 {
			t.Errorf("%s: %.1f ids from a block, want about %.0f", c.name, per, c.perBlock)
		}
		for gap, times := range gaps {
			if c.gap > 1<<20 && times > 1 {
				t.Errorf("%s: a gap of %d %d times", c.name, gap, times)
			}
		}
	}
}

// TestProducerIDsWaitTogether: while the controller does not answer, nobody waits
// for a producer id longer than for one answer, however many wait; and nobody
// whose connection is gone.
func TestProducerIDsWaitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := true
		ids := newProducerIDs(rand.New(rand.NewPCG(1, 2)), func(ctx context.Context) (int64, int32, error) {
			if silent {
				<-ctx.Done()
				return 0, 0, ctx.Err()
			}
			return math.MaxInt64 - 2, 2, nil // so few are left that there are no gaps
		})
		gone, leave := context.WithCancel(t.Context())
		began := time.Now()
		var waits sync.WaitGroup
		for i := range 10 {
			ctx, most := t.Context(), producerIDTimeout
			if i == 9 {
				ctx, most = gone, 0
			}
			waits.Go(func() {
				id, err := ids.Next(ctx)
				if took := time.Since(began); err == nil || took > most {
					t.Errorf("caller %d: id %d, %v, after %v", i, id, err, took)
				}
			})
		}
		synctest.Wait()
		leave()
		waits.Wait()
		silent = false
		for _, want := range []int64{math.MaxInt64 - 2, math.MaxInt64 - 1} {
			if id, err := ids.Next(t.Context()); id != want || err != nil {
				t.Errorf("afterwards: %d, %v; want %d", id, err, want)
			}
		}
	})
}
