// Package meter limits the memory of the response to one request.
package meter

import (
	"context"
	"errors"
	"reflect"
	"sync"
)

// ErrTooLarge means that a response would need more memory than one request may
// use.
var ErrTooLarge = errors.New("the response would need more memory than one request may use; request less at once")

// Meter counts the memory and the lookups of one request. The unit is a byte of
// memory; a lookup that adds nothing to the response costs Lookup bytes.
//
//  1. A handler calls Charge before it builds a part of the response. A state
//     machine on another goroutine calls Add, which never waits, and the handler
//     calls Pay when it has received the part.
//  2. The first Free bytes are free. For a larger response all bytes are taken
//     from the server's budget for responses, step bytes at a time. A request
//     that waits for the budget has paid for everything it holds.
//  3. The request's context is checked at each step, so that no work is done for
//     a client that has disconnected.
//  4. The first error is kept. The handler may stop at any point; the whole
//     request fails.
//
// Rejected: charging the encoded response. Before the encoding a small request
// could already have allocated gigabytes.
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
	// paid is used by the handler's goroutine only.
	paid int64
}

const (
	// Free is the size in bytes up to which a response is not charged to the
	// budget: small responses never wait.
	Free = 64 << 10
	// Lookup is the cost in bytes of a lookup that adds nothing to the response.
	Lookup = 64
	// step is the number of bytes taken from the budget at once.
	step = 64 << 10
)

// New returns a meter for one request. most is the limit in bytes; 0 means no
// limit. take takes bytes from a budget and may wait; nil means no budget.
func New(ctx context.Context, most int64, take func(int64) error) *Meter {
	m := &Meter{}
	m.Reset(ctx, most, take)
	return m
}

// Reset prepares a used meter for the next request. The arguments are those of
// New.
func (m *Meter) Reset(ctx context.Context, most int64, take func(int64) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ctx, m.most, m.take = ctx, most, take
	m.used, m.next, m.err, m.paid = 0, step, nil, 0
}

// Add counts n bytes. It never waits. Any goroutine may call it. The error is
// ErrTooLarge or the error of the request's context.
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

// Pay takes the counted but unpaid bytes from the budget. It may wait.
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

// Charge calls Add, then Pay.
func (m *Meter) Charge(n int) error {
	if err := m.Add(n); err != nil {
		return err
	}
	return m.Pay()
}

// Err returns the first error of Add, Pay or Charge.
func (m *Meter) Err() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Used returns the number of counted bytes.
func (m *Meter) Used() int64 {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Size returns the size of a T in bytes, without the memory that it refers to.
func Size[T any]() int { return int(reflect.TypeFor[T]().Size()) }
