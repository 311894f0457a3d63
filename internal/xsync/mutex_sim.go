//go:build sim

package xsync

import "sync"

// Mutex is a mutual exclusion lock: a channel with room for one token. The
// goroutine that put the token in holds the lock. The zero value is unlocked. A
// Mutex must not be copied after first use, and belongs to the synctest bubble
// of its first use. Unlocking an unlocked Mutex panics.
type Mutex struct {
	once  sync.Once
	token chan struct{}
}

// Lock waits until the mutex is free and takes it.
func (m *Mutex) Lock() { m.channel() <- struct{}{} }

// Unlock releases the mutex. Any goroutine may call it.
func (m *Mutex) Unlock() {
	select {
	case <-m.channel():
	default:
		panic("xsync: unlock of an unlocked Mutex")
	}
}

// TryLock takes the mutex if it is free and tells whether it did.
func (m *Mutex) TryLock() bool {
	select {
	case m.channel() <- struct{}{}:
		return true
	default:
		return false
	}
}

// channel makes the channel at first use, so that the zero value works. The
// Once is never held during a wait.
func (m *Mutex) channel() chan struct{} {
	m.once.Do(func() { m.token = make(chan struct{}, 1) })
	return m.token
}
