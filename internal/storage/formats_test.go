package storage

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"maps"
	"strings"
	"testing"

	"ottla/internal/vfs"
)

// unhex reads bytes written as hex with spaces and line breaks.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOffsetIndexBytes: what Kafka's OffsetIndex reads.
func TestOffsetIndexBytes(t *testing.T) {
	x := newOffsetIndex(newFiles(vfs.NewMem(), 0, 0).file("/x"), 1000)
	x.add(offsetEntry{1005, 4242})
	x.add(offsetEntry{1000 + maxRelative, maxRelative})
	want := unhex(t, `00000005 00001092
	                  7fffffff 7fffffff`)
	if !bytes.Equal(x.tail, want) {
		t.Fatalf("%x, want %x", x.tail, want)
	}
	if e := x.decode(want[8:]); e != (offsetEntry{1000 + maxRelative, maxRelative}) {
		t.Fatal(e)
	}
}

// TestTimeIndexBytes: what Kafka's TimeIndex reads; a timestamp that does not
// grow makes no entry.
func TestTimeIndexBytes(t *testing.T) {
	x := newTimeIndex(newFiles(vfs.NewMem(), 0, 0).file("/x"), 1000)
	x.last = x.none()
	x.addIfLater(timeEntry{1_700_000_000_000, 1003})
	x.addIfLater(timeEntry{1_700_000_000_000, 1009})
	x.addIfLater(timeEntry{1_700_000_000_001, 1010})
	want := unhex(t, `0000018bcfe56800 00000003
	                  0000018bcfe56801 0000000a`)
	if !bytes.Equal(x.tail, want) {
		t.Fatalf("%x, want %x", x.tail, want)
	}
	if e := x.decode(want[12:]); e != (timeEntry{1_700_000_000_001, 1010}) {
		t.Fatal(e)
	}
}

// TestTxnIndexBytes: what Kafka's TransactionIndex reads.
func TestTxnIndexBytes(t *testing.T) {
	x := newTxnIndex(newFiles(vfs.NewMem(), 0, 0).file("/x"))
	txn := abortedTxn{producerID: 7, first: 100, last: 123, lastStable: 99}
	x.add(txn)
	want := unhex(t, `0000 0000000000000007 0000000000000064 000000000000007b 0000000000000063`)
	if !bytes.Equal(x.tail, want) {
		t.Fatalf("%x, want %x", x.tail, want)
	}
	if got := decodeTxn(want); got != txn {
		t.Fatal(got)
	}
}

// TestSnapshotBytes: what Kafka's ProducerStateManager reads.
func TestSnapshotBytes(t *testing.T) {
	full := producer{id: 7, epoch: 3, lastTimestamp: 1_700_000_000_000, coordinatorEpoch: 2, txnFirst: 40, seen: 44, kept: 1}
	full.batches[0] = batchMeta{lastOffset: 44, timestamp: 1_700_000_000_000, lastSeq: 4, offsetDelta: 4}
	empty := newProducer(8)
	empty.epoch = 1
	got := encodeSnapshot([]producer{full, empty})
	body := unhex(t, `00000002
	  0000000000000007 0003 00000004 000000000000002c 00000004 0000018bcfe56800 00000002 0000000000000028
	  0000000000000008 0001 ffffffff ffffffffffffffff 00000000 ffffffffffffffff ffffffff ffffffffffffffff`)
	want := fmt.Appendf(unhex(t, "0001"), "%s%s", unhex(t, fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli))), body)
	if !bytes.Equal(got, want) {
		t.Fatalf("\n%x, want\n%x", got, want)
	}
	list, why := decodeSnapshot(got)
	if why != "" || len(list) != 2 || list[0] != full || list[1] != empty {
		t.Fatal(list, why)
	}
	if list, why := decodeSnapshot(encodeSnapshot(nil)); why != "" || len(list) != 0 {
		t.Fatal(list, why)
	}
}

// TestSnapshotDamage: nothing that was changed is taken for a snapshot.
func TestSnapshotDamage(t *testing.T) {
	p := newProducer(7)
	good := encodeSnapshot([]producer{p})
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, why := decodeSnapshot(bad); why == "" {
				t.Fatalf("bit %d of byte %d may be wrong", bit, i)
			}
		}
		if _, why := decodeSnapshot(good[:i]); why == "" {
			t.Fatalf("a snapshot may be cut at %d", i)
		}
	}
	counts := bytes.Clone(good)
	counts[9] = 2
	copy(counts[2:], unhex(t, fmt.Sprintf("%08x", crc32.Checksum(counts[6:], castagnoli))))
	if _, why := decodeSnapshot(counts); why == "" {
		t.Fatal("a snapshot may count more than it holds")
	}
}

// TestCheckpointBytes: the text that Kafka's checkpoint files hold.
func TestCheckpointBytes(t *testing.T) {
	epochs := encodeEpochs([]epochEntry{{0, 0}, {3, 120}})
	if string(epochs) != "0\n2\n0 0\n3 120\n" {
		t.Fatalf("%q", epochs)
	}
	offsets := encodeOffsets([]offsetLine{{partitionKey{"orders", 0}, 1500}, {partitionKey{"my-topic", 11}, 0}})
	if string(offsets) != "0\n2\norders 0 1500\nmy-topic 11 0\n" {
		t.Fatalf("%q", offsets)
	}
	got, err := decodeOffsets(offsets)
	if err != nil || !maps.Equal(got, map[partitionKey]int64{{"orders", 0}: 1500, {"my-topic", 11}: 0}) {
		t.Fatal(got, err)
	}
	list, err := decodeEpochs(epochs)
	if err != nil || fmt.Sprint(list) != "[{0 0} {3 120}]" {
		t.Fatal(list, err)
	}
}

func TestCheckpointDamage(t *testing.T) {
	for _, c := range []struct {
		name, text string
		ok         bool
	}{
		{"empty, as Kafka creates it", "", true},
		{"version alone", "0\n", true},
		{"no lines", "0\n0\n", true},
		{"line ends of Windows", "0\r\n1\r\nt 0 5\r\n", true},
		{"another version", "1\n0\n", false},
		{"no version", "x\n0\n", false},
		{"no count", "0\nx\n", false},
		{"too few lines", "0\n2\nt 0 5\n", false},
		{"too many lines", "0\n1\nt 0 5\nt 1 5\n", false},
		{"two fields", "0\n1\nt 0\n", false},
		{"four fields", "0\n1\nt 0 5 6\n", false},
		{"a partition that is no number", "0\n1\nt x 5\n", false},
		{"an offset that is no number", "0\n1\nt 0 5x\n", false},
	} {
		if _, err := decodeOffsets([]byte(c.text)); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, text := range []string{"0\n1\n-1 5\n", "0\n1\n1 -5\n", "0\n1\n1 x\n", "0\n1\n99999999999 5\n"} {
		if list, err := decodeEpochs([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, list)
		}
	}
}

func TestMetaPropertiesBytes(t *testing.T) {
	p := MetaProperties{ClusterID: "7Ls0ZhjDTt6fZVqFtdYKHg", NodeID: 1, DirectoryID: [16]byte(unhex(t, "4f777466 b9b54d75 a40c0c8b cc967acd"))}
	want := "#\ncluster.id=7Ls0ZhjDTt6fZVqFtdYKHg\ndirectory.id=T3d0Zrm1TXWkDAyLzJZ6zQ\nnode.id=1\nversion=1\n"
	if got := string(encodeMeta(p)); got != want {
		t.Fatalf("%q", got)
	}
	for _, c := range []struct {
		name, text string
		ok         bool
	}{
		{"as written", want, true},
		{"by Kafka", "#\n#Sat Nov 23 23:00:00 UTC 2024\nnode.id=1\ndirectory.id=T3d0Zrm1TXWkDAyLzJZ6zQ\nversion=1\ncluster.id=7Ls0ZhjDTt6fZVqFtdYKHg\n", true},
		{"escaped by Java", "version=1\nnode.id=1\ncluster.id=7Ls0ZhjDTt6fZVqFtdYKHg\ndirectory.id=T3d0Zrm1TXWkDAyLzJZ6zQ\nother=a\\:b\n! comment\n", true},
		{"of ZooKeeper times", "version=0\nbroker.id=1\ncluster.id=x\n", false},
		{"without node", "version=1\ncluster.id=x\n", false},
		{"with a negative node", "version=1\ncluster.id=x\nnode.id=-1\n", false},
		{"without cluster", "version=1\nnode.id=1\n", false},
		{"with a bad directory", "version=1\nnode.id=1\ncluster.id=x\ndirectory.id=T3d0\n", false},
		{"empty", "", false},
	} {
		got, err := decodeMeta([]byte(c.text))
		if (err == nil) != c.ok || c.ok && got != p {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestPartitionMetadataBytes(t *testing.T) {
	id := [16]byte(unhex(t, "621e1faa153c46f597060fbd3e998891"))
	want := "version: 0\ntopic_id: Yh4fqhU8RvWXBg-9PpmIkQ"
	if got := string(encodePartitionMetadata(id)); got != want {
		t.Fatalf("%q", got)
	}
	for text, ok := range map[string]bool{
		want: true, want + "\n": true, "": false, "version: 1\ntopic_id: Yh4fqhU8RvWXBg-9PpmIkQ": false,
		"version: 0\n": false, "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA": false, "version: 0\ntopic_id: ??": false,
	} {
		got, err := decodePartitionMetadata([]byte(text))
		if (err == nil) != ok || ok && got != id {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
}

func TestNames(t *testing.T) {
	if got := segmentName(1234, logSuffix); got != "00000000000000001234.log" {
		t.Error(got)
	}
	for name, want := range map[string]string{
		"00000000000000001234.log": "1234 .log true", "00000000000000000000.timeindex": "0 .timeindex true",
		"00000000000000001234.log.deleted": "1234 .log.deleted true", "00000000000000001234-0000000001.checkpoint": "0  false",
		"1234.log": "0  false", "leader-epoch-checkpoint": "0  false", "99999999999999999999.log": "", "0000000000000000001x.log": "0  false",
		"00000000000000001234": "0  false",
	} {
		offset, suffix, ok := parseSegmentName(name)
		if got := fmt.Sprint(offset, " ", suffix, " ", ok); want != "" && got != want || want == "" && ok {
			t.Errorf("%s: %s", name, got)
		}
	}
	for name, want := range map[string]string{
		"orders-0": "orders 0 true", "my-topic.v1-12": "my-topic.v1 12 true", "__cluster_metadata-0": "__cluster_metadata 0 true",
		"orders": "false", "orders-": "false", "-0": "false", "orders-x": "false", "orders-00": "false", "orders--1": "orders- 1 true",
		"orders-0.0123456789abcdef0123456789abcdef-delete": "false", "orders-99999999999": "false",
	} {
		topic, partition, ok := parsePartitionDir(name)
		got := "false"
		if ok {
			got = fmt.Sprint(topic, " ", partition, " ", ok)
		}
		if got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	long := retiredDirName(strings.Repeat("t", 249), 7, [16]byte{1}, deleteDirSuffix)
	if len(long) != maxNameBytes || !strings.HasSuffix(long, "-7.01000000000000000000000000000000-delete") {
		t.Error(len(long), long)
	}
}
