package interop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ottla/interop/target"
)

// startOffsets is the checkpoint of a log dir that moves with a partition. It
// contains the log start offset set by DeleteRecords, one line "topic partition
// offset" per partition after two header lines. Recovery points and high
// watermarks do not move: without them a broker checks the whole log.
const startOffsets = "log-start-offset-checkpoint"

// MovePartition copies a partition's folder to another broker, over a partition
// of the same name. Neither broker may be running. The folder keeps the topic
// id of the target. Ottla has no folder for a partition that was never written:
// then the copy has no topic id, and the broker assigns it by its name.
func MovePartition(t testing.TB, from, to *target.Broker, partition string) {
	t.Helper()
	place := filepath.Join(to.Dir, partition)
	replaceFolder(t, filepath.Join(from.Dir, partition), place)
	for _, name := range []string{"recovery-point-offset-checkpoint", "replication-offset-checkpoint", "cleaner-offset-checkpoint"} {
		setCheckpoint(t, to.Dir, name, partition, "")
	}
	setCheckpoint(t, to.Dir, startOffsets, partition, checkpointed(t, from.Dir, startOffsets, partition))
}

// replaceFolder replaces a partition's folder with a copy of another one and
// keeps the topic id.
func replaceFolder(t testing.TB, from, to string) {
	t.Helper()
	name := filepath.Join(to, "partition.metadata")
	id, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if id == nil {
		err = os.Remove(name)
	} else {
		err = os.WriteFile(name, id, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Unclean makes the broker's next start a start after a crash.
func Unclean(t testing.TB, b *target.Broker) {
	t.Helper()
	if err := os.Remove(filepath.Join(b.Dir, ".kafka_cleanshutdown")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

// checkpointed returns the offset of a partition in a checkpoint, or "".
func checkpointed(t testing.TB, dir, name, partition string) string {
	t.Helper()
	for _, line := range checkpointLines(t, dir, name) {
		if offset, ok := strings.CutPrefix(line, checkpointKey(partition)); ok {
			return offset
		}
	}
	return ""
}

// setCheckpoint sets the offset of a partition in a checkpoint; "" removes it.
func setCheckpoint(t testing.TB, dir, name, partition, offset string) {
	t.Helper()
	var lines []string
	for _, line := range checkpointLines(t, dir, name) {
		if !strings.HasPrefix(line, checkpointKey(partition)) {
			lines = append(lines, line+"\n")
		}
	}
	if offset != "" {
		lines = append(lines, checkpointKey(partition)+offset+"\n")
	}
	content := fmt.Sprintf("0\n%d\n%s", len(lines), strings.Join(lines, ""))
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkpointKey is the beginning of the line of partition "topic-N".
func checkpointKey(partition string) string {
	i := strings.LastIndexByte(partition, '-')
	return partition[:i] + " " + partition[i+1:] + " "
}

// checkpointLines returns the lines of a checkpoint after its header; none if
// the file does not exist.
func checkpointLines(t testing.TB, dir, name string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	const head = 2 // version and number of lines
	return lines[min(head, len(lines)):]
}
