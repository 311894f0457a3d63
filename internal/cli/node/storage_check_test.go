package node

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ottla/internal/cli"
	"ottla/internal/vfs"
)

// kafkas is a copy of a small folder that Apache Kafka wrote.
func kafkas(t *testing.T, kind string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../../broker/testdata/kafka", kind))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// checkJSON is the JSON output of `ottla storage check`.
func checkJSON(t *testing.T, wantCode int, dirs ...string) checked {
	t.Helper()
	code, out, errs := call(t, cli.Streams{}, append([]string{"storage", "check", "--format", "json"}, dirs...)...)
	var r checked
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != wantCode || r.Servable != (code == 0) {
		t.Fatalf("exit %d, want %d: %v, %s%s", code, wantCode, err, out, errs)
	}
	return r
}

// The contents of Kafka's folders are counted, and the command changes nothing.
func TestStorageCheckOfKafkas(t *testing.T) {
	for _, c := range []struct {
		kind, version string
		kraft         int16
		clean         bool
		counts        checkCount
		notes         []string
	}{
		{
			"stopped", "4.3-IV0", 1, true,
			checkCount{Topics: 4, Partitions: 5, Groups: 3, OpenTransactions: 1},
			[]string{"2 ACLs are kept", "1 SCRAM", "1 client quotas", "1 transactions are open", "1 folders of deleted"},
		},
		{
			"killed", "3.3-IV3", 0, false, checkCount{Topics: 4, Partitions: 5, Groups: 3, OpenTransactions: 1},
			[]string{"not stopped in order", "controller.quorum.voters", "metadata.version is 3.3-IV3", "1 transactions are open"},
		},
	} {
		dir := kafkas(t, c.kind)
		before := filesOf(t, dir)
		r := checkJSON(t, 0, dir)
		if r.Counts != c.counts || (r.Ignored["acls"] > 0) != c.clean || r.MetadataVersion != c.version || r.Features["kraft.version"] != c.kraft || r.Clean != c.clean ||
			r.Node == nil || *r.Node != 1 || r.Cluster != "T3R0bGEtaW50ZXJvcC0wMA" || len(r.Dirs) != 1 || !r.Dirs[0].MetadataLog {
			t.Errorf("%s: %+v", c.kind, r)
		}
		_, out, _ := call(t, cli.Streams{}, "storage", "check", dir)
		for _, part := range append(c.notes, "can serve this") {
			if !strings.Contains(out, part) {
				t.Errorf("%s: %q is not in\n%s", c.kind, part, out)
			}
		}
		after := filesOf(t, dir)
		for name, content := range after {
			if !bytes.Equal(content, before[name]) {
				t.Errorf("%s was changed", name)
			}
		}
		if len(after) != len(before) {
			t.Errorf("%d files became %d", len(before), len(after))
		}
	}
}

// Each problem is reported with a remedy, and gives exit code 1.
func TestStorageCheckProblems(t *testing.T) {
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	const quorum = "__cluster_metadata-0/quorum-state"
	for _, c := range []struct {
		name, kind string
		change     func(*testing.T, string)
		want       string
	}{
		{"no meta.properties", "stopped", remove("meta.properties"), "put the file back"},
		{"a damaged meta.properties", "stopped", write("meta.properties", "version=7\n"), "meta.properties"},
		{"no metadata log", "stopped", remove("__cluster_metadata-0"), "metadata log is missing"},
		{"a damaged snapshot", "stopped", write("__cluster_metadata-0/00000000000000000000-0000000000.checkpoint", "x"), "from a backup"},
		{"several voters", "killed", write(quorum, `{"clusterId":"","leaderId":1,"leaderEpoch":1,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1},{"voterId":2},{"voterId":3}],"data_version":0}`), "larger cluster"},
		{"an epoch that was lost", "stopped", write(quorum, `{"leaderId":-1,"leaderEpoch":0,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}`), "a backup"},
		{"a log dir that was not named", "stopped", write("meta.properties", "version=1\nnode.id=1\ncluster.id=T3R0bGEtaW50ZXJvcC0wMA\ndirectory.id=AAAAAAAAQACAAAAAAAAAAA\n"), "not among the voters"},
		{"a damaged log of the groups", "stopped", write("__consumer_offsets-0/00000000000000000000.log", strings.Repeat("x", 200)), "storage verify"},
	} {
		dir := kafkas(t, c.kind)
		c.change(t, dir)
		r := checkJSON(t, cli.ExitFailed, dir)
		_, out, _ := call(t, cli.Streams{}, "storage", "check", dir)
		if len(r.Problems) == 0 || !strings.Contains(out, "problem: ") || !strings.Contains(out, c.want) || !strings.HasSuffix(out, "cannot serve this.\n") {
			t.Errorf("%s: %+v\n%s", c.name, r.Problems, out)
		}
	}
}

// A missing or locked folder is an error, because it says nothing about the
// data. An empty folder can be served.
func TestStorageCheckCalls(t *testing.T) {
	if code, _, errs := call(t, cli.Streams{}, "storage", "check"); code != cli.ExitUsage {
		t.Errorf("without a dir: exit %d, %q", code, errs)
	}
	if code, out, errs := call(t, cli.Streams{}, "storage", "check", "/nothing/here"); code != cli.ExitFailed || out != "" || !strings.Contains(errs, "/nothing/here") {
		t.Errorf("a missing dir: exit %d, %q, %q", code, out, errs)
	}
	if r := checkJSON(t, 0, t.TempDir()); r.Node != nil || len(r.Notes) != 1 {
		t.Errorf("an empty dir: %+v", r)
	}
	dir := kafkas(t, "stopped")
	lock, err := vfs.OS{}.Lock(filepath.Join(dir, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errs := call(t, cli.Streams{}, "storage", "check", dir); code != cli.ExitFailed || !strings.Contains(errs, "stop it first") {
		t.Errorf("a dir in use: exit %d, %q", code, errs)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	// Ottla's own folder can be checked as well.
	data := t.TempDir()
	node := startServe(t, "--data", data)
	node.stop()
	if r := checkJSON(t, 0, data); r.MetadataVersion != "4.3-IV0" || !r.Clean || r.Cluster != node.ClusterID {
		t.Errorf("Ottla's own: %+v", r)
	}
}
