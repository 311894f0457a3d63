// Package crash treats a broker badly and looks at what is left: SIGKILL in the
// middle of a load, power loss of the disk under it, and a disk that is full. What
// it holds the broker to is what a client was told: an acknowledged record is
// there, once, where the broker said, and in order.
//
// Start at kill_test.go.
package crash
