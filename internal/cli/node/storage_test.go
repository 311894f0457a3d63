package node

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ottla/internal/cli"
)

// TestStorageCommands runs a node and checks its data. The data has no
// problems, every file can be printed in both formats, and a flipped bit is
// reported.
func TestStorageCommands(t *testing.T) {
	data := t.TempDir()
	node := startServe(t, "--data", data)
	env := []string{cli.BootstrapEnv + "=" + node.Bootstrap}
	for _, codec := range []string{"none", "zstd"} {
		if code, _, errs := call(t, cli.Streams{In: strings.NewReader("k1:first\nk2:second\n"), Env: env}, "produce", "orders", "-K:", "-p", "0", "-z", codec); code != 0 {
			t.Fatal(errs)
		}
	}
	code, out, errs := call(t, cli.Streams{}, "storage", "verify", data)
	if code != cli.ExitFailed || !strings.Contains(errs, "stop it first") || out != "" {
		t.Fatalf("beside a running node: exit %d, %q, %q", code, out, errs)
	}
	if code, log := node.stop(); code != 0 {
		t.Fatal(log)
	}
	before := filesOf(t, data)
	partition := filepath.Join(data, "orders-0")
	code, out, errs = call(t, cli.Streams{}, "storage", "verify", data, partition, filepath.Join(data, "__cluster_metadata-0"))
	if code != 0 || strings.Count(out, ": 0 problems\n") != 3 {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
	for name := range before {
		if base := filepath.Base(name); base == ".lock" || base == ".ottla_reserve" { // nothing is in them
			continue
		}
		dumped(t, name, 0)
	}
	if after := filesOf(t, data); len(after) != len(before) {
		t.Errorf("%d files became %d", len(before), len(after))
	} else {
		for name, content := range after {
			if !bytes.Equal(content, before[name]) {
				t.Errorf("%s was changed", name)
			}
		}
	}
	log := filepath.Join(partition, "00000000000000000000.log")
	content := before[log]
	content[70] ^= 1
	if err := os.WriteFile(log, content, 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, _ = call(t, cli.Streams{}, "storage", "verify", data, "--format", "json")
	var result struct{ Dirs []verified }
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != 1 || len(result.Dirs[0].Problems) != 1 {
		t.Fatalf("exit %d, %v, %s", code, err, out)
	}
	if p := result.Dirs[0].Problems[0]; p.File != log || *p.Segment != 0 || *p.Offset != 0 || *p.Position != 0 || p.Invariant != "P5" {
		t.Errorf("%s", out)
	}
	if _, errs := dumped(t, log, 1); !strings.Contains(errs, log) || !strings.Contains(errs, "byte 0") {
		t.Errorf("%q", errs)
	}
}

func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[name], err = os.ReadFile(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// dumped prints a file in both formats and returns the text.
func dumped(t *testing.T, name string, want int) (out, errs string) {
	t.Helper()
	code, lines, _ := call(t, cli.Streams{}, "storage", "dump", name, "--print-data-log", "--format", "json")
	for line := range strings.Lines(lines) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil || object["file"] != name || object["kind"] == nil {
			t.Errorf("%s: %v: %s", name, err, line)
		}
	}
	if code != want {
		t.Errorf("%s: exit %d", name, code)
	}
	code, out, errs = call(t, cli.Streams{}, "storage", "dump", name, "--print-data-log")
	if code != want || strings.Count(out, "\n") != strings.Count(lines, "\n") {
		t.Errorf("%s: exit %d, %q, %q", name, code, out, errs)
	}
	return out, errs
}

// TestDumpText checks the printed files of a node with one record.
func TestDumpText(t *testing.T) {
	data := t.TempDir()
	node := startServe(t, "--data", data)
	env := []string{cli.BootstrapEnv + "=" + node.Bootstrap}
	if code, _, errs := call(t, cli.Streams{In: strings.NewReader("k:v\n"), Env: env}, "produce", "orders", "-K:", "-H", "h=1", "-p", "0"); code != 0 {
		t.Fatal(errs)
	}
	node.stop()
	for name, want := range map[string][]string{
		"orders-0/00000000000000000000.log":             {"batch baseOffset: 0 lastOffset: 0 count: 1 ", " isvalid: true position: 0\n", "| offset: 0 CreateTime: ", ` keySize: 1 valueSize: 1 key: "k" payload: "v" header h: "1"` + "\n"},
		"orders-0/leader-epoch-checkpoint":              {"epoch leaderEpoch: 0 startOffset: 0\n"},
		"orders-0/partition.metadata":                   {"partition.metadata topic_id: "},
		"replication-offset-checkpoint":                 {"offset topic: orders partition: 0 offset: 1\n"},
		"meta.properties":                               {"meta.properties cluster.id: " + node.ClusterID + " node.id: 1 directory.id: "},
		"__cluster_metadata-0/quorum-state":             {"quorum-state leaderId: -1 leaderEpoch: 1 votedId: 1 votedDirectoryId: "},
		"__cluster_metadata-0/00000000000000000000.log": {"control: LEADER_CHANGE payload: LeaderChangeMessage ", `payload: TopicRecord Name="orders" `},
	} {
		out, _ := dumped(t, filepath.Join(data, name), 0)
		for _, part := range want {
			if !strings.Contains(out, part) {
				t.Errorf("%s: %q is not in\n%s", name, part, out)
			}
		}
	}
	if out, _ := dumped(t, filepath.Join(data, "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint"), 0); !strings.Contains(out, "SNAPSHOT_HEADER") || !strings.Contains(out, "KRAFT_VOTERS payload: VotersRecord") {
		t.Error(out)
	}
}

// TestStorageUsage: the exit codes of invalid arguments and of damaged data
// differ.
func TestStorageUsage(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nothing-0")
	for _, c := range []struct {
		args string
		code int
	}{
		{"storage verify", cli.ExitUsage},
		{"storage dump", cli.ExitUsage},
		{"storage verify x --limit 0", cli.ExitUsage},
		{"storage dump something.txt", cli.ExitUsage},
		{"storage dump " + missing + "/00000000000000000000.log", cli.ExitFailed},
		{"storage verify " + missing, cli.ExitFailed},
		{"storage", cli.ExitOK},
	} {
		if code, _, errs := call(t, cli.Streams{}, strings.Fields(c.args)...); code != c.code {
			t.Errorf("%s: exit %d, %q", c.args, code, errs)
		}
	}
}
