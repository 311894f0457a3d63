package interop

import (
	"context"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ottla/interop/target"
)

// CheckStorage checks a log dir with `ottla storage verify`, and prints each of
// its files with all records with `ottla storage dump`. The log dir may be
// Ottla's or Kafka's. No broker may have it open.
func CheckStorage(t testing.TB, dir string) {
	t.Helper()
	if out := runOttla(t, "storage", "verify", dir); !strings.HasSuffix(out, ": 0 problems\n") {
		t.Errorf("storage verify %s: %s", dir, out)
	}
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		empty := []string{".lock", ".ottla_reserve"} // these files are empty
		if err == nil && !d.IsDir() && !slices.Contains(empty, d.Name()) {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files in %s: %v", len(files), dir, err)
	}
	out := runOttla(t, slices.Concat([]string{"storage", "dump", "--print-data-log"}, files)...)
	for _, want := range []string{"PartitionRecord", "baseOffset", "cluster.id", "topic_id", "leaderEpoch", "isvalid: true"} {
		if !strings.Contains(out, want) {
			t.Errorf("storage dump of %s prints no %s", dir, want)
		}
	}
}

// runOttla runs a command of Ottla's binary, which must succeed.
func runOttla(t testing.TB, args ...string) string {
	t.Helper()
	binary, err := target.Binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), toolLimit)
	defer cancel()
	var errs strings.Builder
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("ottla %s: %v\n%s%s", strings.Join(args[:3], " "), err, errs.String(), firstLines(out, errs.Len() > 0))
	}
	return string(out)
}

// firstLines is the beginning of a command's output, for error messages.
func firstLines(out []byte, known bool) string {
	const limit = 2000
	if known {
		return ""
	}
	return string(out[:min(len(out), limit)])
}
