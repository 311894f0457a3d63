// Package crash tests a broker under SIGKILL during a load, power loss of its
// disk, and a full disk. It checks what the broker acknowledged to clients:
// each acknowledged record exists exactly once, where the broker said, and in
// order.
//
// Start at kill_test.go.
package crash
