package raft

import (
	"encoding/hex"
	"strings"
	"testing"

	"ottla/internal/metadata"
	"ottla/internal/vfs"
)

// compareHex compares bytes with a commented hex dump: text after # in a line
// is ignored.
func compareHex(t *testing.T, got []byte, want string) {
	t.Helper()
	var plain strings.Builder
	for line := range strings.Lines(want) {
		line, _, _ = strings.Cut(line, "#")
		plain.WriteString(strings.Join(strings.Fields(line), ""))
	}
	if g := hex.EncodeToString(got); g != plain.String() {
		t.Fatalf("got\n%s\nwant\n%s", g, plain.String())
	}
}

// TestFirstCheckpointBytes checks the bytes of the file that a first start
// writes.
func TestFirstCheckpointBytes(t *testing.T) {
	fsys := vfs.NewMem()
	o := testOptions(fsys)
	s, snap, err := openStore(&o, testLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
	if snap.index != 0 || len(snap.records) != 0 || !snap.anchored {
		t.Fatalf("the first snapshot is %+v", snap)
	}
	got, err := vfs.ReadFile(fsys, "data/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	compareHex(t, got, `
		0000000000000000 000000a5 00000000 02 a4ad13de  # offset 0, 165 bytes, epoch 0, magic 2, CRC
		0020 00000002 0000018bcfe56800 0000018bcfe56800 # control, last delta 2, timestamps
		ffffffffffffffff ffff ffffffff 00000003         # no producer, 3 records
		40 00 00 00 08 0000 0003 2c                     # key: version 0, type 3; value of 22 bytes
		  0000 0000018bcfe56800                         # SnapshotHeader 0, timestamp
		  01 c54e 08 0000000000000000 00                # one tagged field, 10053: index 0; no headers
		1e 00 00 02 08 0000 0005 0a                     # type 5
		  0000 0001 00 00                               # KRaftVersion 1
		82 01 00 00 04 08 0000 0006 6e                  # type 6
		  0000 02                                       # KRaftVoters 0, one voter
		  00000001 00070000000000000000000000000000     # node 1 with its directory id
		  02 0b 434f4e54524f4c4c4552                    # one endpoint, CONTROLLER
		  0a 6c6f63616c686f7374 2385 00                 # localhost 9093
		  0000 0001 00 00 00 00                         # kraft.version 0 to 1
		0000000000000003 0000003f 00000000 02 8f6608e6  # offset 3
		0020 00000000 0000018bcfe56800 0000018bcfe56800
		ffffffffffffffff ffff ffffffff 00000001
		1a 00 00 00 08 0000 0004 06 0000 00 00          # type 4: SnapshotFooter 0`)
}

func TestLeaderChangeBytes(t *testing.T) {
	batch, err := newLeaderChangeBatch(anchor{index: 4, term: 2, offset: 300}, 3, 1_700_000_000_000, 1, []int32{1, 2, 3}, []int32{1, 3})
	if err != nil {
		t.Fatal(err)
	}
	compareHex(t, batch, `
		000000000000012c 0000005e 00000003 02 ca700193  # offset 300, 94 bytes, epoch 3, magic 2, CRC
		0020 00000000 0000018bcfe56800 0000018bcfe56800 # control, one record, timestamps
		ffffffffffffffff ffff ffffffff 00000001         # no producer
		58 00 00 00 08 0000 0002 44                     # key: version 0, type 2; value of 34 bytes
		  0000 00000001                                 # LeaderChangeMessage 0, leader 1
		  04 00000001 00 00000002 00 00000003 00        # voters
		  03 00000001 00 00000003 00                    # who voted for it
		  00 00`)
}

func TestQuorumStateBytes(t *testing.T) {
	fsys := vfs.NewMem()
	s, err := openQuorumState(fsys, "")
	if err != nil || s.found || s.epoch != 0 || s.voted {
		t.Fatalf("a missing file is %+v, %v", s, err)
	}
	key := ReplicaKey{2, metadata.UUID{15: 9}}
	for _, step := range []struct {
		epoch int32
		vote  *ReplicaKey
		want  string
	}{
		{4, nil, `{"leaderId":-1,"leaderEpoch":4,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}`},
		{4, &key, `{"leaderId":-1,"leaderEpoch":4,"votedId":2,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAACQ","data_version":1}`},
	} {
		if err := s.save(step.epoch, step.vote); err != nil {
			t.Fatal(err)
		}
		got, err := vfs.ReadFile(fsys, "quorum-state")
		if err != nil || string(got) != step.want {
			t.Fatalf("%s, %v, want %s", got, err, step.want)
		}
		again, err := openQuorumState(fsys, "")
		if err != nil || again.epoch != step.epoch || again.voted != (step.vote != nil) || again.voted && again.vote != key {
			t.Fatalf("read back as %+v, %v", again, err)
		}
	}
	other := ReplicaKey{3, metadata.UUID{15: 9}}
	if s.save(4, &other) == nil || s.save(4, nil) == nil || s.save(3, &key) == nil {
		t.Fatal("a vote was changed or an epoch decreased (M2)")
	}
}

// TestRaftID pins the hash: a stored vote names a voter by it.
func TestRaftID(t *testing.T) {
	for _, row := range []struct {
		key  ReplicaKey
		want uint64
	}{
		{ReplicaKey{}, 0xde47c9b27eb8d300},
		{ReplicaKey{1, metadata.UUID{1: 7}}, 0x78bf0324ab217405},
		{ReplicaKey{2, metadata.UUID{1: 7}}, 0x5d319527b231b2b9},
		{ReplicaKey{1, metadata.UUID{1: 8}}, 0x4216d4b57b0d94a0},
	} {
		if got := row.key.RaftID(); got != row.want {
			t.Errorf("%s has the raft id %#x, want %#x", row.key, got, row.want)
		}
	}
}
