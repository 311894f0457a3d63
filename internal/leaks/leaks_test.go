package leaks

import (
	"testing"
	"testing/synctest"
)

func lingers(end <-chan struct{}) { <-end }

// TestCount checks that a goroutine counts until it has ended, and that the
// caller does not count.
func TestCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		for want := range 3 {
			if n := Count("leaks.lingers"); n != want {
				t.Errorf("%d goroutines, want %d", n, want)
			}
			go lingers(end)
			synctest.Wait()
		}
		close(end)
		synctest.Wait()
		if n := Count("leaks.lingers"); n != 0 {
			t.Errorf("%d goroutines after their end", n)
		}
		if n := Count("leaks.Count"); n != 0 {
			t.Errorf("the caller counts: %d", n)
		}
	})
}
