// Package groups lets the clients that people use share topics as members of
// consumer groups, each member a process of its own, while members are killed,
// added and stopped and the broker is restarted under them. Start at Kinds (the
// clients), then story_test.go (what happens) and history.go (what must hold).
//
// # The workers
//
// A worker is a program that joins a group, prints what it gets, and commits
// what it has printed. Its last two arguments are the bootstrap address and a
// JSON object (Member). It prints one line for each event, at once:
//
//	TIME assigned  GEN TOPIC/PARTITION…   it owns these partitions from now on
//	TIME revoked   GEN TOPIC/PARTITION…   it has committed what it printed of them, and gives them back
//	TIME lost      GEN TOPIC/PARTITION…   they were taken from it
//	TIME record    GEN TOPIC/PARTITION OFFSET VALUE
//	TIME committed GEN TOPIC/PARTITION OFFSET    the broker has said so
//	TIME failed    GEN TEXT               a commit failed for good
//	TIME left      GEN                    it has left the group
//
// TIME is the wall clock in microseconds, taken before the line is printed; GEN
// is the generation or member epoch, -1 where the client does not tell. A worker
// leaves the group and ends when its input ends.
package groups
