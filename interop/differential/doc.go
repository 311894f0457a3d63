// Package differential sends the same requests to two brokers and compares the
// answers. Apache Kafka is the oracle: a difference is a bug, or it is listed
// with its reason in docs/differences.md.
//
// The cases are scripts in testdata. One line is one request, in one version or
// a range of versions (script.go has the grammar). An answer is printed as flat
// lines, one per field, in which ids, ports, clocks and folders have neutral
// names (show.go). Two answers are equal if these lines are equal. In a timed
// script the times of the answers are also compared (timed.go).
//
// Start at differential_test.go. To read the answers of a broker:
//
//	go test ./differential -run TestAnswers -answers DIR
package differential
