// Package meter bounds what the answer to one request may take.
package meter

import (
	"context"
	"errors"
	"reflect"
	"sync"
)

// ErrTooLarge reports that an answer would take more memory than one request
// may cause.
var ErrTooLarge = errors.New("the response would need more memory than one request may use; request less at once")

// Meter counts what one request makes the node hold and look up. The unit is a
// byte of memory; a lookup that puts nothing into the answer costs Lookup bytes.
//
//  1. A handler calls Charge before it builds a piece of the answer. A state
//     machine of another goroutine calls Add, which never waits, and the handler
//     calls Pay when it has the piece.
//  2. The first Free bytes cost nothing. When the answer is larger, everything
//     is taken from the server's budget for responses, a step at a time. Whoever
//     waits for the budget has paid for all that it holds.
//  3. At each step the request's context is checked: a client that has gone gets
//     no more work.
//  4. The first error stays. The handler may stop building where it is; the
//     request fails as a whole.
//
// Rejected: to charge the encoded response. Until then a small request could
// have built gigabytes.
//
// A nil Meter counts nothing and has no limit; tests use it.
type Meter struct {
	ctx  context.Context
	most int64
	take func(int64) error

	mu   sync.Mutex
	used int64
	next int64 // the value of used at which the context is checked
	err  error
	// paid belongs to the handler's goroutine.
	paid int64
}

const (
	// Free is the size of an answer in bytes that is not charged to the budget:
	// small answers never wait.
	Free = 64 << 10
	// Lookup is what a lookup costs that puts nothing into the answer.
	Lookup = 64
	// step is how many bytes are taken from the budget at once.
	step = 64 << 10
)

// New returns a meter for one request. most is the limit in bytes; 0 is none.
// take takes bytes from a budget and may wait; nil takes nothing.
func New(ctx context.Context, most int64, take func(int64) error) *Meter {
	m := &Meter{}
	m.Reset(ctx, most, take)
	return m
}

// Reset makes a used meter ready for the next request, as New does.
func (m *Meter) Reset(ctx context.Context, most int64, take func(int64) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ctx, m.most, m.take = ctx, most, take
	m.used, m.next, m.err, m.paid = 0, step, nil, 0
}

// Add counts n bytes. It never waits and may be called by any goroutine. The
// error is ErrTooLarge or that of the request's context.
func (m *Meter) Add(n int) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used += int64(n)
	switch {
	case m.err != nil:
	case m.most > 0 && m.used > m.most:
		m.err = ErrTooLarge
	case m.used >= m.next:
		m.next = m.used + step
		m.err = m.ctx.Err()
	}
	return m.err
}

// Pay takes from the budget what was counted and not paid yet. It may wait.
// Only the handler's goroutine may call it.
func (m *Meter) Pay() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	used, err := m.used, m.err
	m.mu.Unlock()
	if err != nil || m.take == nil || used <= max(m.paid, Free) {
		return err
	}
	want := (used - m.paid + step - 1) / step * step
	if err := m.take(want); err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.err = err
		return err
	}
	m.paid += want
	return nil
}

// Charge is Add, then Pay.
func (m *Meter) Charge(n int) error {
	if err := m.Add(n); err != nil {
		return err
	}
	return m.Pay()
}

// Err is the first error of Add, Pay or Charge.
func (m *Meter) Err() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Used is what was counted so far, in bytes.
func (m *Meter) Used() int64 {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Size is the size of a T in bytes, without what it points to.
func Size[T any]() int { return int(reflect.TypeFor[T]().Size()) }
