package raft

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/vfs"
)

const testFolder = "data/" + TopicPartition

// written is a folder that a single voter wrote, with the proposals in it.
type written struct {
	fs        *vfs.Mem
	options   Options
	names     []string
	snapshots []SnapshotID
}

// writeFolder makes a folder of several epochs. Each epoch has proposals of
// about 150 bytes each. With snapshots, each epoch ends with one.
func writeFolder(t *testing.T, epochs, proposals int, snapshots bool) *written {
	t.Helper()
	w := &written{fs: vfs.NewMem()}
	w.options = testOptions(w.fs)
	for epoch := range epochs {
		o := w.options
		s, snap, err := openStore(&o, testLog)
		if err != nil {
			t.Fatal(err)
		}
		c, err := newCore(&o, s)
		if err != nil {
			t.Fatal(err)
		}
		owner := newOwner()
		a := newApplier(&o, c)
		a.apply = owner.apply
		if err := a.restore(snap); err != nil {
			t.Fatal(err)
		}
		if err := c.campaignAlone(); err != nil {
			t.Fatal(err)
		}
		for !c.active() {
			runAll(t, c, a)
		}
		for i := range proposals {
			name := fmt.Sprintf("epoch-%d-topic-%d-%s", epoch, i, strings.Repeat("x", 40))
			batch, err := newDataBatch(c.nowMs(), metadata.CurrentLevel, topics(name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.propose(c.epoch, batch, make(chan error, 1)); err != nil {
				t.Fatal(err)
			}
			w.names = append(w.names, name)
			runAll(t, c, a)
		}
		for c.applied != c.tip {
			runAll(t, c, a)
		}
		if snapshots {
			a.source, a.policy.bytes = owner.source, 1
			job := a.checkpoint()
			job.voters, job.static = c.voters, c.static
			if err := s.snapshot(job, newRetention(&o)); err != nil {
				t.Fatal(err)
			}
			w.snapshots = append(w.snapshots, job.id)
		}
		if err := s.log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func runAll(t *testing.T, c *core, a *applier) {
	t.Helper()
	if err := c.runAll(a); err != nil {
		t.Fatal(err)
	}
}

// clone copies the folder.
func (w *written) clone() *written {
	c := *w
	c.fs = w.fs.CrashClone(vfs.CrashOptions{KeepProbability: 1})
	c.options.FS = c.fs
	return &c
}

// flip changes a bit of a file.
func (w *written) flip(t *testing.T, file string, pos int64) { w.flipBit(t, file, pos, 0x10) }

func (w *written) flipBit(t *testing.T, file string, pos int64, bit byte) {
	t.Helper()
	f, err := w.fs.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, pos); err != nil {
		t.Fatal(err)
	}
	b[0] ^= bit
	if _, err := f.WriteAt(b, pos); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func (w *written) truncate(t *testing.T, file string, size int64) {
	t.Helper()
	f, err := w.fs.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func (w *written) remove(t *testing.T, file string) {
	t.Helper()
	if err := w.fs.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func (w *written) size(t *testing.T, file string) int64 {
	t.Helper()
	info, err := w.fs.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

const firstSegment = testFolder + "/00000000000000000000.log"

// mustRecover opens the folder and requires the first n proposals.
func (w *written) mustRecover(t *testing.T, n int) {
	t.Helper()
	o := w.options
	state, _, err := recoverState(&o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(state, w.names[:n]) {
		t.Fatalf("found %d proposals, want the first %d of %d", len(state), n, len(w.names))
	}
}

// mustRefuse opens the folder and requires an error that names a file. Nothing
// in the folder may have changed.
func (w *written) mustRefuse(t *testing.T, file string, words ...string) {
	t.Helper()
	before := w.contents(t)
	o := w.options
	_, _, err := recoverState(&o)
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.File != file {
		t.Fatalf("got %v, want a CorruptError about %s", err, file)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	if after := w.contents(t); !slices.Equal(before, after) {
		t.Fatalf("a refused folder was changed:\n%v\n%v", before, after)
	}
}

// contents lists names and sizes.
func (w *written) contents(t *testing.T) []string {
	t.Helper()
	var list []string
	entries, err := w.fs.ReadDir(testFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, fmt.Sprint(e.Name(), " ", w.size(t, filepath.Join(testFolder, e.Name()))))
	}
	return list
}

func TestOpenAfterNothing(t *testing.T) {
	w := writeFolder(t, 3, 5, true)
	w.mustRecover(t, 15)
}

func TestCorruptSnapshotFallsBack(t *testing.T) {
	w := writeFolder(t, 3, 5, true)
	w.flip(t, w.snapshots[2].file(testFolder), 300)
	w.mustRecover(t, 15)
	w.flip(t, w.snapshots[1].file(testFolder), 300)
	w.mustRecover(t, 15)
	w.flip(t, w.snapshots[0].file(testFolder), 300)
	w.mustRecover(t, 15) // from the first snapshot and the whole log
	w.flip(t, SnapshotID{}.file(testFolder), 100)
	w.mustRefuse(t, w.snapshots[2].file(testFolder))
}

// TestCorruptSnapshotAheadOfTheLog checks that an older snapshot is not used if
// the log ends before the corrupt newest one: committed records would be
// missing.
func TestCorruptSnapshotAheadOfTheLog(t *testing.T) {
	w := writeFolder(t, 3, 5, true)
	w.truncate(t, firstSegment, lastEpoch(t, w, 3))
	newest := w.snapshots[2].file(testFolder)
	w.flip(t, newest, 300)
	w.mustRefuse(t, newest, "the log does not lead from there")
}

func TestCorruptSnapshotWithoutTheLogBefore(t *testing.T) {
	w := writeFolder(t, 3, 5, true)
	w.options.RetentionBytes = 1
	w.options.SegmentBytes = 200
	for range 2 { // the second start removes segments that the first one filled
		o := w.options
		n, err := open(o, testLog)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.store.clean(newRetention(&o), 0); err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	newest := w.snapshots[2].file(testFolder)
	w.flip(t, newest, 300)
	w.mustRefuse(t, newest)
}

// step is 1: every byte of a file is tried. It is larger under the race
// detector, which can find nothing here: there is only one goroutine.
func step() int64 {
	if raceDetector {
		return 29
	}
	return 1
}

func TestCorruptSnapshotKinds(t *testing.T) {
	whole := writeFolder(t, 1, 5, true)
	file := whole.snapshots[0].file(testFolder)
	size := whole.size(t, file)
	for pos := int64(0); pos < size; pos += step() {
		w := whole.clone()
		w.flip(t, file, pos)
		if _, err := loadSnapshot(w.fs, testFolder, w.snapshots[0], w.options.Codecs); err == nil {
			t.Fatalf("a flipped bit at byte %d of %d goes unnoticed", pos, size)
		}
		w.truncate(t, file, pos)
		if _, err := loadSnapshot(w.fs, testFolder, w.snapshots[0], w.options.Codecs); err == nil {
			t.Fatalf("a file cut to %d bytes of %d goes unnoticed", pos, size)
		}
	}
}

// TestFlippedBitInTheLog flips bits at each byte of a log of three epochs.
// Everything before the last LeaderChange was synced: damage there is
// corruption, reported with file and offset, also where no checksum covers it.
// After it the tail is cut, since a power loss may have torn it, unless the
// LeaderChange is intact and its epoch is not in quorum-state.
func TestFlippedBitInTheLog(t *testing.T) {
	whole := writeFolder(t, 3, 2, false)
	size := whole.size(t, firstSegment)
	last := lastEpoch(t, whole, 3)
	for pos := int64(0); pos < size; pos += step() {
		for _, bit := range []byte{0x01, 0x10} {
			w := whole.clone()
			w.flipBit(t, firstSegment, pos, bit)
			// The epoch is in the bytes 12 to 15. Its lowest bit is set, others are not.
			higher := pos >= last+12 && pos < last+15 || pos == last+15 && bit != 0x01
			if pos < last || higher {
				w.mustRefuse(t, firstSegment, "offset")
				continue
			}
			o := w.options
			state, _, err := recoverState(&o)
			if err != nil || !slices.Equal(state, w.names[:len(state)]) || len(state) < 4 {
				t.Fatalf("byte %d: %v, %v", pos, state, err)
			}
		}
	}
}

// lastEpoch returns the position in the first segment where an epoch begins.
func lastEpoch(t *testing.T, w *written, epoch int32) int64 {
	t.Helper()
	f, err := w.fs.OpenFile(firstSegment, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &batchReader{file: f, size: w.size(t, firstSegment)}
	for {
		batch, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if batch.LeaderEpoch() == epoch {
			return r.pos
		}
		r.pos += int64(len(batch))
	}
}

// TestFlippedBitFarFromTheEnd checks that within one epoch, too, damage more
// than one write group before a valid batch is corruption: that part was
// synced.
func TestFlippedBitFarFromTheEnd(t *testing.T) {
	w := writeFolder(t, 1, 400, false)
	size := w.size(t, firstSegment)
	for _, pos := range []int64{200, size / 3, size - writeGroupBytes - 400} {
		w.flip(t, firstSegment, pos)
		w.mustRefuse(t, firstSegment, "cannot be cut")
		w.flip(t, firstSegment, pos)
	}
	w.flip(t, firstSegment, size-100)
	w.mustRecover(t, 399)
	w.mustRecover(t, 399) // the tail was cut permanently
}

func TestLogShorterThanItsSnapshot(t *testing.T) {
	w := writeFolder(t, 1, 5, true)
	w.truncate(t, firstSegment, 300)
	w.mustRefuse(t, firstSegment)
	w.truncate(t, firstSegment, 0)
	w.mustRefuse(t, w.snapshots[0].file(testFolder), "no batch of epoch 1")
	w.remove(t, firstSegment)
	w.mustRefuse(t, w.snapshots[0].file(testFolder))
}

func TestMissingSegment(t *testing.T) {
	w := writeFolder(t, 1, 0, false)
	w.options.SegmentBytes = 500
	filled := writeMore(t, w, 20)
	segments, err := listSegments(filled.fs, testFolder)
	if err != nil || len(segments) < 4 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	filled.mustRecover(t, len(filled.names))
	filled.remove(t, segments[2].path)
	filled.mustRefuse(t, segments[3].path, "the segment before it ends")
}

// writeMore starts the folder's voter again and proposes.
func writeMore(t *testing.T, w *written, proposals int) *written {
	t.Helper()
	owner := newOwner()
	n := startNode(t, w.options, owner)
	term := untilLeads(n, owner)
	for i := range proposals {
		name := fmt.Sprintf("more-%d-%s", i, strings.Repeat("x", 40))
		if _, done := n.Propose(term, metadata.CurrentLevel, topics(name)); <-done != nil {
			t.Fatal("not committed")
		}
		w.names = append(w.names, name)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

// If quorum-state is older than the log's only epoch, the log is not treated as
// a torn tail.
func TestQuorumStateIsOlderThanTheLog(t *testing.T) {
	file := filepath.Join(testFolder, quorumStateFile)
	w := writeFolder(t, 1, 3, false)
	if err := writeContent(w.fs, file, `{"leaderId":-1,"leaderEpoch":0,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}`); err != nil {
		t.Fatal(err)
	}
	w.mustRefuse(t, firstSegment)
}

func TestLostVote(t *testing.T) {
	file := filepath.Join(testFolder, quorumStateFile)
	w := writeFolder(t, 2, 3, true)
	w.flip(t, file, 0)
	w.mustRefuse(t, file)
	w.flip(t, file, 0)
	w.mustRecover(t, 6)
	w.remove(t, file)
	w.mustRefuse(t, file, "epoch 0", "a vote may be lost")
}

func TestNoSnapshotAtAll(t *testing.T) {
	w := writeFolder(t, 1, 3, false)
	w.remove(t, SnapshotID{}.file(testFolder))
	w.mustRefuse(t, testFolder, "no snapshot")
}

// TestRetentionByAge removes snapshots whose last record is old, and the log
// before the next one, but never the newest.
func TestRetentionByAge(t *testing.T) {
	w := writeFolder(t, 3, 5, true)
	o := w.options
	s, _, err := openStore(&o, testLog)
	if err != nil {
		t.Fatal(err)
	}
	now := o.Now()
	for _, step := range []struct {
		age  time.Duration
		now  time.Time
		left int
	}{
		{time.Hour, now.Add(time.Hour), 4},
		{-1, now.Add(1000 * time.Hour), 4},
		{time.Hour, now.Add(time.Hour + time.Millisecond), 1},
		{time.Hour, now.Add(1000 * time.Hour), 1},
	} {
		if err := s.clean(retention{bytes: -1, age: step.age}, step.now.UnixMilli()); err != nil {
			t.Fatal(err)
		}
		ids, _, err := listSnapshots(w.fs, testFolder)
		if err != nil || len(ids) != step.left || ids[len(ids)-1] != w.snapshots[2] || s.log.StartOffset() != ids[0].EndOffset {
			t.Fatalf("after %v: %v, the log begins at %d, %v", step, ids, s.log.StartOffset(), err)
		}
	}
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
	w.mustRecover(t, 15)
}

func TestAnotherDirectoryIsAnotherVoter(t *testing.T) {
	w := writeFolder(t, 1, 3, false)
	w.options.DirectoryID = metadata.UUID{1: 8}
	o := w.options
	if _, _, err := recoverState(&o); !errors.Is(err, ErrNotVoter) {
		t.Fatalf("got %v", err)
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	w := writeFolder(t, 1, 3, true)
	for _, name := range []string{"00000000000000000009-0000000001.checkpoint.part", "00000000000000000000-0000000000.checkpoint.deleted"} {
		f, err := w.fs.OpenFile(filepath.Join(testFolder, name), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	w.mustRecover(t, 3)
	for _, line := range w.contents(t) {
		if strings.Contains(line, ".checkpoint.") {
			t.Errorf("%s still exists", line)
		}
	}
}

// kafkaCheckpoint is what `kafka-storage format --standalone` of 4.3.1 wrote for
// node 1 with the directory id SQ9ONzguRMSSVELeVz9iqw.
const kafkaCheckpoint = `
	00000000000000000000009a000000000237f70b1c00200000000200 0001a20accd220000001a20accd220ffffffffffffffffffffffffffff000000032a000000080000
	0003160000000001a20accd2180000 1e00000208000000050a00000001000082010000040800000006 6e000002000000 01490f4e37382e44c4925442de573f62ab020b43
	4f4e54524f4c4c45520a3132372e302e302e314a95000000000100000000000000
	00000000030000003f0000000002479757c40020000000000000 01a20accd22a000001a20accd22affffffffffffffffffffffffffff000000011a000000080000000406
	00000000`

// TestFolderThatKafkaFormatted checks that a single voter continues a folder
// that Kafka formatted.
func TestFolderThatKafkaFormatted(t *testing.T) {
	content, err := hex.DecodeString(strings.Join(strings.Fields(kafkaCheckpoint), ""))
	if err != nil {
		t.Fatal(err)
	}
	w := &written{fs: vfs.NewMem()}
	w.options = testOptions(w.fs)
	if w.options.DirectoryID, err = metadata.ParseUUID("SQ9ONzguRMSSVELeVz9iqw"); err != nil {
		t.Fatal(err)
	}
	if err := w.fs.MkdirAll(testFolder, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &store{fs: w.fs, folder: testFolder, codecs: w.options.Codecs}
	if err := s.receive(SnapshotID{}, bytes.NewReader(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
	writeMore(t, w, 5)
	w.mustRecover(t, 5)
}

// TestStaticVoters checks that a folder is refused whose voters are not this
// node alone, or that cannot be one with static voters.
func TestStaticVoters(t *testing.T) {
	const several = `{"clusterId":"","leaderId":1,"leaderEpoch":9,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1},{"voterId":2}],"data_version":0}`
	const alone = `{"clusterId":"","leaderId":1,"leaderEpoch":9,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1}],"data_version":0}`
	const recorded = `{"leaderId":-1,"leaderEpoch":9,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}`
	for _, c := range []struct {
		name, quorum string
		moved        bool // into the log
		names        int  // that are found again
		want         string
	}{
		{"of this node alone", alone, false, 5, ""},
		{"of this node alone, moved into the log", alone, true, 5, ""},
		{"of several nodes", several, false, 0, "controller.quorum.voters"},
		{"recorded, but the first snapshot is gone", recorded, false, 0, "no snapshot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &written{fs: vfs.NewMem()}
			w.options = testOptions(w.fs)
			w.options.Static = true
			writeMore(t, w, c.names)
			if err := writeContent(w.fs, filepath.Join(testFolder, quorumStateFile), c.quorum); err != nil {
				t.Fatal(err)
			}
			if c.moved {
				w.moveVoters(t)
			}
			before := w.content(t)
			if c.want == "" {
				w.mustRecover(t, c.names)
				return
			}
			_, _, err := recoverState(&w.options)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("opened with %v, want %q", err, c.want)
			}
			if after := w.content(t); !maps.Equal(before, after) {
				t.Error("a refused folder was changed")
			}
		})
	}
}

// moveVoters records the voters in the log, as Kafka does when kraft.version is
// raised to 1, and checks the result of a start.
func (w *written) moveVoters(t *testing.T) {
	t.Helper()
	for _, kraft := range []int32{0, 1} {
		s, snap, err := openStore(&w.options, testLog)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.kraft.Load(); got != kraft || s.vote.static != (kraft == 0) {
			t.Fatalf("kraft.version %d, want %d; quorum-state is static: %t", got, kraft, s.vote.static)
		}
		c, err := newCore(&w.options, s)
		if err != nil {
			t.Fatal(err)
		}
		a := newApplier(&w.options, c)
		a.apply = newOwner().apply
		if err := errors.Join(a.restore(snap), c.campaignAlone()); err != nil {
			t.Fatal(err)
		}
		for !c.active() || c.applied != c.tip {
			runAll(t, c, a)
		}
		if c.static = false; kraft == 0 {
			if _, err := c.proposeVoters(c.epoch, newVoters(&w.options), make(chan error, 1)); err != nil {
				t.Fatal(err)
			}
			for c.applied != c.tip {
				runAll(t, c, a)
			}
		}
		if err := s.log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// content returns every file of the folder.
func (w *written) content(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := vfs.Walk(w.fs, "data", func(name string, info os.FileInfo) error {
		if info.IsDir() {
			return nil
		}
		data, err := vfs.ReadFile(w.fs, name)
		all[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
