package raft

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// verifyAll is what `ottla storage verify` does with the folder.
func (w *written) verifyAll(fsys vfs.FS) ([]storage.Problem, error) {
	codecs := record.NewCodecs()
	problems, err := storage.Verify(testFolder, storage.VerifyOptions{FS: fsys, Codecs: codecs})
	if err != nil {
		return nil, err
	}
	more, err := Verify(fsys, "data", codecs)
	return append(problems, more...), err
}

func TestVerify(t *testing.T) {
	w := writeFolder(t, 3, 20, true)
	if problems, err := w.verifyAll(w.fs); err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	if problems, err := Verify(vfs.NewMem(), "/nothing", nil); err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	for _, c := range []struct {
		name, file string
		change     func(*written, string)
	}{
		{"a cut snapshot", w.snapshots[1].file(testFolder), func(w *written, f string) { w.truncate(t, f, w.size(t, f)-5) }},
		{"a snapshot with a flipped bit", w.snapshots[0].file(testFolder), func(w *written, f string) { w.flip(t, f, 200) }},
		{"quorum-state of an older epoch", firstSegment, func(w *written, _ string) {
			if err := writeContent(w.fs, filepath.Join(testFolder, quorumStateFile), `{"leaderId":-1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}`); err != nil {
				t.Fatal(err)
			}
		}},
		{"quorum-state that is none", filepath.Join(testFolder, quorumStateFile), func(w *written, f string) { w.flip(t, f, 0) }},
		{"a log that begins after the newest snapshot", testFolder, func(w *written, _ string) {
			if err := w.fs.Rename(firstSegment, filepath.Join(testFolder, "00000000000000999999.log")); err != nil {
				t.Fatal(err)
			}
		}},
		{"a batch with a flipped bit and others behind it", firstSegment, func(w *written, f string) { w.flip(t, f, 100) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			broken := w.clone()
			c.change(broken, c.file)
			problems, err := Verify(broken.fs, "data", record.NewCodecs())
			if err != nil || !slices.ContainsFunc(problems, func(p storage.Problem) bool { return p.File == c.file }) {
				t.Fatal(problems, err)
			}
		})
	}
	fault := vfs.NewFault(w.fs, vfs.Rule{Op: vfs.OpRead, Err: syscall.EIO})
	if _, err := Verify(fault, "data", record.NewCodecs()); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
}

func writeContent(fsys vfs.FS, name, content string) error {
	return vfs.WriteFileAtomic(fsys, name, []byte(content), 0o644)
}

// TestBitFlips flips one bit somewhere in the folder of the metadata log, in
// each kind of file equally often: either the check of the folder or the start
// reports the damage, or the same records are found, never other ones.
func TestBitFlips(t *testing.T) {
	w := writeFolder(t, 3, 20, true)
	kinds := make(map[string][]string)
	if err := vfs.Walk(w.fs, testFolder, func(name string, info fs.FileInfo) error {
		if !info.IsDir() && info.Size() > 0 {
			kind := filepath.Ext(name)
			if kind == "" {
				kind = filepath.Base(name)
			}
			kinds[kind] = append(kinds[kind], name)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for kind := range kinds {
		names = append(names, kind)
	}
	slices.Sort(names)
	rng := rand.New(rand.NewPCG(30, 0))
	found := make(map[string]int)
	flips := 500
	if raceDetector {
		flips = 60
	}
	for i := range flips {
		kind := kinds[names[i%len(names)]]
		file := kind[rng.IntN(len(kind))]
		pos, bit := rng.Int64N(w.size(t, file)), byte(1)<<rng.IntN(8)
		what := fmt.Sprintf("flip %d: bit %#x of byte %d of %s", i, bit, pos, file)
		broken := w.clone()
		broken.flipBit(t, file, pos, bit)
		problems, err := broken.verifyAll(broken.fs)
		if err != nil {
			t.Fatal(what, err)
		}
		o := broken.options
		state, _, err := recoverState(&o)
		switch {
		case err == nil && !slices.Equal(state, w.names[:min(len(state), len(w.names))]):
			t.Fatalf("%s: other records were found", what)
		case len(problems) > 0:
			found["found by verify"]++
		case err != nil:
			found["told at open"]++
		case len(state) == len(w.names):
			found["harmless"]++
		case strings.HasSuffix(file, ".log"):
			// Within the last write group a flipped bit looks like a torn tail,
			// which a single voter cuts, see provenBehind.
			found["cut as a torn tail"]++
		default:
			t.Fatalf("%s: nothing is reported, but %d of %d proposals are found", what, len(state), len(w.names))
		}
	}
	t.Logf("%d flips in %v: %v", flips, names, found)
}
