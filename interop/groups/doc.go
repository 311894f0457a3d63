// Package groups tests consumer groups with widely used clients. Several
// members, each in its own process, share topics, while members are killed,
// added and stopped and the broker is restarted. Start at Kinds (the clients),
// then story_test.go (the events) and history.go (the invariants).
//
// # The workers
//
// A worker is a program that joins a group, prints what it reads, and commits
// what it has printed. Its last two arguments are the bootstrap address and a
// JSON object (Member). It prints one line for each event immediately:
//
//	TIME assigned  GEN TOPIC/PARTITION…   it owns these partitions from now on
//	TIME revoked   GEN TOPIC/PARTITION…   it has committed what it printed of them, and gives them back
//	TIME lost      GEN TOPIC/PARTITION…   it lost them
//	TIME record    GEN TOPIC/PARTITION OFFSET VALUE
//	TIME committed GEN TOPIC/PARTITION OFFSET    the broker has acknowledged it
//	TIME failed    GEN TEXT               a commit has failed permanently
//	TIME left      GEN                    it has left the group
//
// TIME is the wall clock in microseconds, read before the line is printed. GEN
// is the generation or member epoch; -1 if the client does not provide it. A
// worker leaves the group and ends when its input ends.
package groups
