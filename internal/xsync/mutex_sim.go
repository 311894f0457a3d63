//go:build sim

package xsync

import "sync"

// Mutex is a mutual exclusion lock made of a channel with room for one token:
// whoever puts the token in holds the lock. Its zero value is unlocked. It must
// not be copied after first use, and it belongs to the synctest bubble in which
// it was used first. Unlocking an unlocked Mutex panics.
type Mutex struct {
	once  sync.Once
	token chan struct{}
}

// Lock waits until the mutex is free and takes it.
func (m *Mutex) Lock() { m.channel() <- struct{}{} }

// Unlock frees the mutex. Any goroutine may call it.
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
// Once is never held over a wait.
func (m *Mutex) channel() chan struct{} {
	m.once.Do(func() { m.token = make(chan struct{}, 1) })
	return m.token
}
