//go:build !sim

package xsync

import "sync"

// Mutex is a mutual exclusion lock; its zero value is unlocked. It must not be
// copied after first use. Unlocking an unlocked Mutex is a programming error
// and ends the process or panics.
type Mutex struct {
	mu sync.Mutex
}

// Lock waits until the mutex is free and takes it.
func (m *Mutex) Lock() { m.mu.Lock() }

// Unlock releases the mutex. Any goroutine may call it.
func (m *Mutex) Unlock() { m.mu.Unlock() }

// TryLock takes the mutex if it is free and tells whether it did.
func (m *Mutex) TryLock() bool { return m.mu.TryLock() }
