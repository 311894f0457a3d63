package meter

import (
	"context"
	"errors"
	"testing"
)

// The budget sees nothing of a small answer, and all of a large one before it
// is built.
func TestChargeTakesBeforehand(t *testing.T) {
	var taken int64
	m := New(t.Context(), 0, func(n int64) error { taken += n; return nil })
	for built := int64(0); built < 1<<20; built += 1000 {
		if err := m.Charge(1000); err != nil {
			t.Fatal(err)
		}
		if used := built + 1000; used <= Free && taken != 0 || used > Free && taken < used {
			t.Fatalf("%d bytes are about to be built and %d are taken", used, taken)
		}
	}
	if taken > 1<<20+2*step {
		t.Errorf("%d bytes were taken for 1 MiB", taken)
	}
}

// Add by another goroutine counts; the handler pays for it.
func TestPayForWhatOthersAdded(t *testing.T) {
	var taken int64
	m := New(t.Context(), 0, func(n int64) error { taken += n; return nil })
	done := make(chan error)
	go func() { done <- m.Add(1 << 20) }()
	if err := <-done; err != nil || taken != 0 {
		t.Fatal(err, taken)
	}
	if err := m.Pay(); err != nil || taken < 1<<20 {
		t.Fatal(err, taken)
	}
}

// Each limit ends the request, and the first error stays.
func TestErrorsStay(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		m    *Meter
		want error
	}{
		"too large": {New(t.Context(), 1<<20, nil), ErrTooLarge},
		"gone":      {New(gone, 0, nil), context.Canceled},
		"budget":    {New(t.Context(), 0, func(int64) error { return refused }), refused},
	} {
		for range 2 << 20 / 1000 {
			_ = c.m.Charge(1000)
		}
		if err := c.m.Charge(0); !errors.Is(err, c.want) || !errors.Is(c.m.Err(), c.want) {
			t.Errorf("%s: %v, %v", name, err, c.m.Err())
		}
		c.m.Reset(t.Context(), 0, nil)
		if err := c.m.Charge(1); err != nil || c.m.Used() != 1 {
			t.Errorf("%s: after Reset %v", name, err)
		}
	}
	var none *Meter
	if none.Charge(1<<40) != nil || none.Err() != nil || none.Used() != 0 {
		t.Error("a nil meter counts")
	}
}
