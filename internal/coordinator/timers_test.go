package coordinator

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestTimers compares the heap with a list that is searched.
func TestTimers(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var timers Timers[int]
		type entry struct {
			key      int
			deadline time.Duration
		}
		var model []entry // in the order in which they were set
		drop := func(key int) { model = slices.DeleteFunc(model, func(e entry) bool { return e.key == key }) }
		now := time.Duration(0)
		for range 500 {
			key := rng.IntN(20)
			switch rng.IntN(4) {
			case 0, 1:
				deadline := now + time.Duration(rng.IntN(10))
				timers.Set(key, deadline)
				drop(key)
				model = append(model, entry{key, deadline})
			case 2:
				timers.Cancel(key)
				drop(key)
			default:
				now += time.Duration(rng.IntN(3))
			}
			at := slices.IndexFunc(model, func(e entry) bool { return e.key == key })
			if deadline, some := timers.Deadline(key); some != (at >= 0) || some && deadline != model[at].deadline {
				t.Fatalf("seed %d: %d is due at %v %t, the model has %v", seed, key, deadline, some, model)
			}
			for {
				next := -1
				for i, e := range model {
					if next < 0 || e.deadline < model[next].deadline {
						next = i
					}
				}
				deadline, some := timers.Next()
				if some != (next >= 0) || some && deadline != model[next].deadline {
					t.Fatalf("seed %d: next is %v %t, the model has %v", seed, deadline, some, model)
				}
				got, due := timers.Due(now)
				if due != (some && deadline <= now) {
					t.Fatalf("seed %d: due %t at %v, next %v", seed, due, now, deadline)
				}
				if !due {
					break
				}
				if got != model[next].key {
					t.Fatalf("seed %d: %d is due, not %d", seed, got, model[next].key)
				}
				drop(got)
			}
		}
	}
}
