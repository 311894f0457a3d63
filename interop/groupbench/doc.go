// Package groupbench compares the group coordinators of Ottla and Apache Kafka
// in one run, in turn. `make bench-groups` prints the table. Start at
// TestBench. The loads are in load.go. They use raw connections (interop/wire),
// so that delays of a client library are not measured.
package groupbench
