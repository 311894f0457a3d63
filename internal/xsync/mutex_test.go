package xsync_test

import (
	"sync"
	"testing"

	"ottla/internal/xsync"
)

var _ sync.Locker = (*xsync.Mutex)(nil)

// TestMutexExcludes adds to a sum in many goroutines, which is correct only if
// the section is exclusive. The race detector finds errors that the sum does
// not show.
func TestMutexExcludes(t *testing.T) {
	const goroutines, rounds = 8, 2000
	var mu xsync.Mutex
	var wg sync.WaitGroup
	sum := 0
	for range goroutines {
		wg.Go(func() {
			for range rounds {
				mu.Lock()
				sum++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if sum != goroutines*rounds {
		t.Fatalf("sum = %d, want %d", sum, goroutines*rounds)
	}
}

func TestTryLock(t *testing.T) {
	var mu xsync.Mutex
	if !mu.TryLock() {
		t.Fatal("a new Mutex is not free")
	}
	if mu.TryLock() {
		t.Fatal("a held Mutex was taken a second time")
	}
	mu.Unlock()
	if !mu.TryLock() {
		t.Fatal("an unlocked Mutex is not free")
	}
}

// TestUnlockByAnother frees the lock in a goroutine that did not take it.
func TestUnlockByAnother(t *testing.T) {
	var mu xsync.Mutex
	mu.Lock()
	go mu.Unlock()
	mu.Lock() // returns only when the other goroutine unlocked
	defer mu.Unlock()
}
