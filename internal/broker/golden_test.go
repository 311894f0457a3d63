package broker

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/raft"
	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// writeGolden is the name of a golden folder to be written: what a node of this
// version leaves on disk, for later versions to open. One that exists is never
// written again.
var writeGolden = flag.String("golden", "", "write testdata/golden/`name` by this version")

const goldenDir = "testdata/golden"

// goldenValues are the values in each partition of topic orders.
var goldenValues = [][]string{{"a0", "a1", "a2", "a3"}, {"b0", "b1"}}

// TestGolden starts a node on what each earlier version left, after a stop and
// after a kill: the folder is sound, the cluster and its topics are there with
// every record, and more can be written.
func TestGolden(t *testing.T) {
	if *writeGolden != "" {
		bubble(t, func(t *testing.T, w *world) { w.writeGolden(filepath.Join(goldenDir, *writeGolden)) })
	}
	versions, err := os.ReadDir(goldenDir)
	if err != nil || len(versions) == 0 {
		t.Fatal("no golden folder", err)
	}
	for _, version := range versions {
		for _, kind := range []string{"stopped", "killed"} {
			t.Run(version.Name()+"/"+kind, func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) { w.openGolden(filepath.Join(goldenDir, version.Name(), kind)) })
			})
		}
	}
}

// writeGolden writes two folders: one in the middle of a node's life, as a kill
// leaves it, one after its stop.
func (w *world) writeGolden(to string) {
	n := w.start()
	c := w.connect(n)
	c.mustCreate("orders", 2, "retention.ms", "-1")
	synctest.Wait()
	c.mustCreate("gone", 1)
	c.delete("gone")
	for p, values := range goldenValues {
		for _, v := range values {
			c.mustProduce("orders", int32(p), v)
		}
	}
	killed := w.mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})
	w.close(n)
	for kind, mem := range map[string]*vfs.Mem{"killed": killed, "stopped": w.mem} {
		w.must(copyOut(mem, filepath.Join(to, kind)))
	}
}

func copyOut(mem *vfs.Mem, to string) error {
	if _, err := os.Stat(to); err == nil {
		return errors.New(to + " exists: a golden folder is what an old version wrote, take another name")
	}
	return vfs.Walk(mem, "/data", func(name string, info os.FileInfo) error {
		if info.IsDir() {
			return nil
		}
		content, err := vfs.ReadFile(mem, name)
		target := filepath.Join(to, strings.TrimPrefix(name, "/data"))
		return errors.Join(err, os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, content, 0o644))
	})
}

func (w *world) openGolden(from string) {
	w.copyIn(from)
	w.sound()
	w.serveGolden()
}

// copyIn makes a golden folder the node's, durably.
func (w *world) copyIn(from string) {
	w.Helper()
	w.must(w.mem.MkdirAll("/data", 0o755))
	w.must(w.mem.SyncDir("/"))
	w.must(filepath.WalkDir(from, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		target := filepath.Join("/data", strings.TrimPrefix(name, from))
		return errors.Join(err, w.mem.MkdirAll(filepath.Dir(target), 0o755), w.mem.SyncDir("/data"), vfs.WriteFileAtomic(w.mem, target, content, 0o644))
	}))
}

func (w *world) serveGolden() {
	w.Helper()
	seeds.Add(1 << 20) // not those that the folder was written with
	n := w.start()
	c := w.connect(n)
	for range 100 { // until the partitions have their leaders again
		if _, code := c.fetch("orders", 0); code == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for p, values := range goldenValues {
		if got, code := c.fetch("orders", int32(p)); code != 0 || !slices.Equal(got, values) {
			w.Fatalf("orders-%d holds %v, %v", p, got, code)
		}
		c.mustProduce("orders", int32(p), "more")
		if got, _ := c.fetch("orders", int32(p)); len(got) != len(values)+1 {
			w.Fatalf("orders-%d holds %v", p, got)
		}
	}
	if code := c.create("orders", 1); code == 0 {
		w.Fatal("the topic is not known any more")
	}
	c.mustCreate("gone", 1)
	w.close(n)
	w.sound()
}

// sound is what `ottla storage verify` finds, which is nothing.
func (w *world) sound() {
	w.Helper()
	codecs := record.NewCodecs()
	problems, err := storage.Verify("/data", storage.VerifyOptions{FS: w.mem, Codecs: codecs})
	w.must(err)
	more, err := raft.Verify(w.mem, "/data", codecs)
	w.must(err)
	for _, p := range append(problems, more...) {
		w.Errorf("verify: %s", p)
	}
}
