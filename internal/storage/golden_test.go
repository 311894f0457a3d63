package storage

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// writeGolden is the name of a golden folder to be written: what this version
// leaves on disk, for later versions to open. One that exists is never written
// again.
var writeGolden = flag.String("golden", "", "write testdata/golden/`name` by this version")

const goldenDir = "testdata/golden"

// golden is what the golden folders hold: two partitions with transactions,
// every codec, leader epochs and several segments, of a node that was stopped
// and of one that was killed. See full.
func golden(t testing.TB) map[string]*vfs.Mem {
	stopped, _ := full(t, true)
	killed, _ := full(t, false)
	return map[string]*vfs.Mem{"stopped": stopped, "killed": killed}
}

// TestGolden opens what each earlier version left: Verify finds nothing, every
// record is there, nothing is told, and it can be stopped and opened again.
func TestGolden(t *testing.T) {
	now := golden(t)
	if *writeGolden != "" {
		for kind, mem := range now {
			copyOut(t, mem, filepath.Join(goldenDir, *writeGolden, kind))
		}
	}
	versions, err := os.ReadDir(goldenDir)
	if err != nil || len(versions) == 0 {
		t.Fatal("no golden folder", err)
	}
	for _, version := range versions {
		for kind := range now {
			t.Run(version.Name()+"/"+kind, func(t *testing.T) {
				mem := copyIn(t, filepath.Join(goldenDir, version.Name(), kind))
				o := testOptions(mem)
				o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 1500, 200
				verifyClean(t, mem)
				want := readState(t, o, now[kind].CrashClone(vfs.CrashOptions{KeepProbability: 1}), [16]byte{})
				got := readState(t, o, mem.CrashClone(vfs.CrashOptions{KeepProbability: 1}), [16]byte{})
				if len(got.told) > 0 || got.rest != want.rest {
					t.Fatalf("%v\n%s", got.told, firstDifference(got.rest, want.rest))
				}
				for topic, list := range want.batches {
					if len(list) < 40 {
						t.Fatalf("only %d batches of %s", len(list), topic)
					}
					sameRecords(t, o, got.batches[topic], list)
				}
				o.FS = mem
				m := openManager(t, o)
				if err := m.Close(-1); err != nil {
					t.Fatal(err)
				}
				verifyClean(t, mem)
			})
		}
	}
}

// copyOut writes a dir to the machine's files, where nothing may be yet.
func copyOut(t testing.TB, mem *vfs.Mem, to string) {
	t.Helper()
	if _, err := os.Stat(to); err == nil {
		t.Fatalf("%s exists: a golden folder is what an old version wrote, take another name", to)
	}
	err := vfs.Walk(mem, "/data", func(name string, info os.FileInfo) error {
		if info.IsDir() {
			return nil
		}
		target := filepath.Join(to, strings.TrimPrefix(name, "/data/"))
		return errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, must(vfs.ReadFile(mem, name))(t), 0o644))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// copyIn reads a golden folder.
func copyIn(t testing.TB, from string) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	err := filepath.WalkDir(from, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		target := filepath.Join("/data", strings.TrimPrefix(name, from))
		if err := mem.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return writeFile(mem, target, content)
	})
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// sameRecords compares batches by their records: another version of a codec may
// compress to other bytes.
func sameRecords(t testing.TB, o Options, got, want []record.Batch) {
	t.Helper()
	text := func(list []record.Batch) (lines []string) {
		for _, b := range list {
			for r, err := range b.Records(o.Codecs) {
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, fmt.Sprintf("%d %d %q %q %q %d %d", r.Offset, r.Timestamp, r.Key, r.Value, r.Headers, b.LeaderEpoch(), b.ProducerID()))
			}
		}
		return lines
	}
	g, w := text(got), text(want)
	if fmt.Sprint(g) != fmt.Sprint(w) {
		t.Fatal(firstDifference(strings.Join(g, "\n"), strings.Join(w, "\n")))
	}
}
