package raft

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ottla/internal/metadata"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// fixChecksums corrects the checksum of each batch, so that a fuzzer gets past
// it.
func fixChecksums(data []byte) []byte {
	data = slices.Clone(data)
	for rest := data; ; {
		batch, next, err := record.Next(rest)
		if err != nil {
			return data
		}
		binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)))
		rest = next
	}
}

// FuzzSnapshot checks that any bytes are a snapshot or an error, and that a
// snapshot written again has the same content.
func FuzzSnapshot(f *testing.F) {
	kafka, err := hex.DecodeString(strings.Join(strings.Fields(kafkaCheckpoint), ""))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(kafka, true)
	fsys := vfs.NewMem()
	o := testOptions(fsys)
	if err := fsys.MkdirAll("d", 0o755); err != nil {
		f.Fatal(err)
	}
	meta := snapshotMeta{index: 3, timestamp: 5, voters: newVoters(&o)}
	state := &owner{names: []string{"a", "b", "c"}}
	if err := writeSnapshot(fsys, "d", meta, 5, state.source()); err != nil {
		f.Fatal(err)
	}
	own, err := vfs.ReadFile(fsys, SnapshotID{}.file("d"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own, true)
	f.Fuzz(func(t *testing.T, data []byte, fix bool) {
		if fix {
			data = fixChecksums(data)
		}
		s, pos, err := parseSnapshot(SnapshotID{}, data, o.Codecs)
		if err != nil {
			if pos < 0 || pos > len(data) {
				t.Fatalf("position %d of %d bytes", pos, len(data))
			}
			return
		}
		if err := writeSnapshot(fsys, "d", s.snapshotMeta, 5, slices.Values(s.records)); err != nil {
			t.Fatal(err)
		}
		again, err := loadSnapshot(fsys, "d", SnapshotID{}, o.Codecs)
		if err != nil {
			t.Fatal(err)
		}
		s.anchored = true
		if !reflect.DeepEqual(again, s) {
			t.Fatalf("written again: %+v, want %+v", again, s)
		}
	})
}

// FuzzLog overwrites parts of a log. Either a prefix of it is recovered, or the
// folder is refused.
func FuzzLog(f *testing.F) {
	f.Add(uint16(0), []byte("x"), false)
	f.Add(uint16(300), []byte{}, true)
	f.Add(uint16(94), []byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x60, 0, 0, 0, 2, 2}, false)
	f.Fuzz(func(t *testing.T, pos uint16, data []byte, cut bool) {
		w := writeFolder(t, 2, 4, false)
		file, err := w.fs.OpenFile(firstSegment, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 0 {
			if _, err := file.WriteAt(data, int64(pos)); err != nil {
				t.Fatal(err)
			}
		}
		if cut {
			if err := file.Truncate(int64(pos) + int64(len(data))); err != nil {
				t.Fatal(err)
			}
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		o := w.options
		state, _, err := recoverState(&o)
		var corrupt *CorruptError
		if err != nil && !errors.As(err, &corrupt) {
			t.Fatal(err)
		}
		if err == nil && (len(state) > len(w.names) || !slices.Equal(state, w.names[:len(state)])) {
			t.Fatalf("recovered %v", state)
		}
	})
}

// FuzzScan checks that any bytes can be scanned.
func FuzzScan(f *testing.F) {
	batch, err := newLeaderChangeBatch(anchor{}, 1, 5, 1, []int32{1}, []int32{1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(batch), true)
	f.Add(append(slices.Clone([]byte(batch)), batch...), true)
	f.Fuzz(func(t *testing.T, data []byte, fix bool) {
		if fix {
			data = fixChecksums(data)
		}
		fsys := vfs.NewMem()
		if err := fsys.MkdirAll(testFolder, 0o755); err != nil {
			t.Fatal(err)
		}
		file, err := fsys.OpenFile(firstSegment, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
		scan, err := scanLog(fsys, testFolder, 10)
		if err != nil {
			t.Fatal(err)
		}
		good := int64(len(data))
		if scan.torn != nil {
			good = scan.torn.Pos
		}
		r := &batchReader{file: file, size: good}
		for i := uint64(1); r.pos < good; i++ {
			b, err := r.next()
			if err != nil || i > scan.index.last() || scan.index.offset(i) != b.BaseOffset() {
				t.Fatalf("entry %d: %v, %v", i, b, err)
			}
			r.pos += int64(len(b))
		}
	})
}

// FuzzQuorumState checks that any bytes are a vote or an error, and that a vote
// is read back.
func FuzzQuorumState(f *testing.F) {
	f.Add([]byte(`{"leaderId":-1,"leaderEpoch":4,"votedId":2,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAACQ","data_version":1}`))
	f.Add([]byte(`{"clusterId":"","leaderId":1,"leaderEpoch":2,"votedId":-1,"appliedOffset":0,"currentVoters":[],"data_version":0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := vfs.NewMem()
		if err := vfs.WriteFileAtomic(fsys, quorumStateFile, data, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := openQuorumState(fsys, "")
		if err != nil {
			return
		}
		key := ReplicaKey{7, metadata.UUID{7}}
		if s.epoch == 1<<31-1 {
			return
		}
		if err := s.save(s.epoch+1, &key); err != nil {
			t.Fatal(err)
		}
		again, err := openQuorumState(fsys, "")
		want := key
		if s.static {
			want.DirectoryID = metadata.UUID{} // the file has none
		}
		if err != nil || again.epoch != s.epoch || again.vote != want || again.static != s.static {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}

// FuzzEntry checks that a batch of another voter is refused or can be applied
// by its kind.
func FuzzEntry(f *testing.F) {
	batch, err := newDataBatch(5, metadata.CurrentLevel, topics("a", "b"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(batch), true)
	change, err := newLeaderChangeBatch(anchor{}, 1, 5, 1, []int32{1}, []int32{1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(change), true)
	voters, err := newVotersBatch(5, &metadata.VotersRecord{Voters: []metadata.Voter{{VoterID: 3}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(voters), true)
	codecs := record.NewCodecs()
	f.Fuzz(func(t *testing.T, data []byte, fix bool) {
		if fix {
			data = fixChecksums(data)
		}
		batch, err := checkEntryBatch(data)
		if err != nil {
			return
		}
		kind, err := kindOf(batch)
		if err != nil {
			return
		}
		if kind&changesVoters != 0 {
			_, _ = votersOf(batch)
		}
		if c, err := committed(batch, codecs); err == nil && c.LastOffset < c.BaseOffset {
			t.Fatalf("%+v", c)
		}
	})
}
