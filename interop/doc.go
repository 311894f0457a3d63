// Package interop holds what foreign programs have to say about Ottla: the
// clients that people really use, driven against the real binary, with Apache
// Kafka 4.3.1 as the oracle.
//
// It is a Go module of its own, so that none of the foreign client libraries
// becomes a dependency of Ottla. Where to start reading:
//
//   - target starts a broker (Ottla's binary or Apache Kafka) as a process;
//   - matrix_test.go drives every client through the same list of cases;
//   - tools_test.go runs Kafka's console tools;
//   - dump_test.go lets Kafka's DumpLogSegments read what Ottla wrote;
//   - interchange_test.go puts partitions that Ottla wrote under Kafka, and Kafka's
//     under Ottla;
//   - differential sends the same requests to both and compares the answers;
//   - groups lets members of consumer groups be killed, added and stopped; groupbench
//     compares coordinators with Kafka's;
//   - crash kills the process under load, cuts the power of its disk and fills it.
//
// The peers (kcat, Java, Python and Node packages) are installed by
// scripts/peers.sh. A test whose peer is missing skips and names it, or fails
// when OTTLA_PEERS=required. OTTLA_INTEROP_TARGET=kafka runs the whole suite
// against Apache Kafka instead of Ottla, which shows that the suite is right.
package interop
