// Package groupbench measures group coordinators: Ottla's beside Apache Kafka's,
// in one run, in turn. `make bench-groups` prints the table. Start at
// TestBench; the loads are in load.go, on raw connections (interop/wire), so
// that no client library's pauses are measured.
package groupbench
