//go:build sim

package xsync_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/xsync"
)

// TestVirtualSleepUnderLock checks the purpose of the tag: the holder waits an
// hour of virtual time while another goroutine waits for the lock. With a
// sync.Mutex the bubble would never end.
func TestVirtualSleepUnderLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu xsync.Mutex
		var wg sync.WaitGroup
		start := time.Now()
		for range 3 {
			wg.Go(func() {
				mu.Lock()
				<-time.After(time.Hour)
				mu.Unlock()
			})
		}
		wg.Wait()
		if d := time.Since(start); d != 3*time.Hour {
			t.Fatalf("three exclusive hours took %v", d)
		}
	})
}

func TestUnlockOfUnlockedPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	var mu xsync.Mutex
	mu.Unlock()
}
