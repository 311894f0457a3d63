// Package xsync provides a mutex that works in a simulation.
//
// Inside a bubble of testing/synctest a goroutine that waits for a sync.Mutex
// does not count as blocked, so virtual time stops while another goroutine
// sleeps holding it (a slow simulated disk under the lock of a partition), and
// the bubble hangs. A channel operation does count. Mutex is therefore a
// sync.Mutex in the program that users run (mutex.go) and a channel with one
// token under the build tag sim (mutex_sim.go).
//
// Use it where a lock may be held during file I/O or another virtual wait. Use
// sync.Mutex where a lock guards only memory.
package xsync
