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

// startOffsets is the checkpoint of a log dir that travels with a partition: the
// log start offset that DeleteRecords has set, "topic partition offset" a line
// after the two of the head. Recovery points and high watermarks do not: without
// them a broker looks at the whole log.
const startOffsets = "log-start-offset-checkpoint"

// MovePartition puts a copy of a partition's folder under another broker, in the
// place of a partition of the same name that it has. Neither broker may be
// running. The folder keeps the topic id of its place. Ottla has no folder for a
// partition that was never written: then the copy has no topic id, and the broker
// takes it by its name.
func MovePartition(t testing.TB, from, to *target.Broker, partition string) {
	t.Helper()
	place := filepath.Join(to.Dir, partition)
	replaceFolder(t, filepath.Join(from.Dir, partition), place)
	for _, name := range []string{"recovery-point-offset-checkpoint", "replication-offset-checkpoint", "cleaner-offset-checkpoint"} {
		setCheckpoint(t, to.Dir, name, partition, "")
	}
	setCheckpoint(t, to.Dir, startOffsets, partition, checkpointed(t, from.Dir, startOffsets, partition))
}

// replaceFolder copies a partition's folder over another one, whose topic id it
// keeps.
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

// Unclean makes the broker's next start one after a crash.
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

// setCheckpoint gives a partition an offset in a checkpoint; "" takes it out.
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

// checkpointKey is what the line of the partition "topic-N" begins with.
func checkpointKey(partition string) string {
	i := strings.LastIndexByte(partition, '-')
	return partition[:i] + " " + partition[i+1:] + " "
}

// checkpointLines are the lines of a checkpoint after its head; none where there
// is no such file.
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
