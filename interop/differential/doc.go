// Package differential sends the same requests to two brokers and compares
// what comes back. Apache Kafka is the oracle: a difference is a bug, or a
// choice that docs/differences.md states with its reason.
//
// The cases are scripts in testdata: one line, one request, over one version or
// a range of versions (script.go has the grammar). An answer is printed as flat
// lines, one per field, in which ids, ports, clocks and folders have a neutral
// name (show.go); two answers are equal when these lines are. Of a timed script it
// is compared also when they come (timed.go).
//
// Start at differential_test.go. To read what a broker answers:
//
//	go test ./differential -run TestAnswers -answers DIR
package differential
