// Package xsync holds the one lock that a simulation can see through.
//
// Inside a bubble of testing/synctest a goroutine that waits for a sync.Mutex
// does not count as blocked, so virtual time stands still for as long as
// somebody sleeps while holding one (a slow simulated disk under the lock of a
// partition), and the bubble hangs. A channel operation does count. Mutex is
// therefore a sync.Mutex in the program that users run (mutex.go) and a channel
// with one token under the build tag sim (mutex_sim.go).
//
// Use it where a lock may be held over file I/O or another virtual wait, and
// sync.Mutex where only memory is touched.
package xsync
