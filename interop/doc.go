// Package interop tests Ottla with other programs: widely used Kafka clients
// run against the real binary, with Apache Kafka 4.3.1 as the oracle.
//
// It is a separate Go module, so that the client libraries do not become
// dependencies of Ottla. Where to start reading:
//
//   - target starts a broker (Ottla's binary or Apache Kafka) as a process;
//   - matrix_test.go runs every client through the same list of cases;
//   - tools_test.go runs Kafka's console tools;
//   - dump_test.go reads files of Ottla with Kafka's DumpLogSegments;
//   - interchange_test.go moves partitions from Ottla to Kafka and from Kafka
//     to Ottla;
//   - differential sends the same requests to both and compares the answers;
//   - groups kills, adds and stops members of consumer groups; groupbench
//     compares group coordinators with Kafka's;
//   - crash kills the process under load, cuts the power of its disk and fills
//     it.
//
// scripts/peers.sh installs the peers (kcat, Java, Python and Node packages).
// If a peer is missing, its tests are skipped with a message that names it, or
// fail with OTTLA_PEERS=required. OTTLA_INTEROP_TARGET=kafka runs the whole
// suite against Apache Kafka instead of Ottla. This shows that the suite is
// correct.
package interop
