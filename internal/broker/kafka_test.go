package broker

import (
	"bytes"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/raft"
	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// keepCrashes is for interop/, where Kafka opens what a crash left.
var keepCrashes = flag.String("keep", "", "write a sample of the folders that a crash left into a `folder`")

// kafkaDir has small folders of Apache Kafka 4.3.1: "stopped" in order, with
// recorded voters, ACLs, a SCRAM user and a quota; "killed", formatted for static
// voters at metadata.version 3.3-IV3. Both have the topics orders, payments, with
// a committed, an aborted and an open transaction, and gone, which was deleted,
// and the groups group-0 to group-2. interop/golden_test.go writes them.
const kafkaDir = "testdata/kafka"

// payments are the records of topic payments.
var payments = []string{"committed", "aborted", "open"}

// snapshotsOften lets a node write a snapshot of the metadata soon.
const snapshotsOften = "metadata.log.max.snapshot.interval.ms=1000"

// inspect reads the metadata log as the next start does.
func inspect(t testing.TB, fsys vfs.FS) (*raft.Inspection, storage.MetaProperties) {
	t.Helper()
	meta, err := storage.ReadMetaProperties(fsys, "/data")
	if err != nil {
		t.Fatal(err)
	}
	in, err := raft.Inspect(fsys, "/data", raft.ReplicaKey{NodeID: meta.NodeID, DirectoryID: meta.DirectoryID}, record.NewCodecs())
	if err != nil {
		t.Fatal(err)
	}
	return in, meta
}

// kept are the records of an image that a node must leave to Kafka as they are:
// everything but registrations and what elections change of a partition. Image.Records
// is not trusted with what Ottla does not act on.
func kept(img *metadata.Image) (all [][]byte) {
	for a := range img.ACLs() {
		all = append(all, metadata.AppendValue(nil, a))
	}
	for c := range img.SCRAMCredentials() {
		all = append(all, metadata.AppendValue(nil, c))
	}
	for q := range img.ClientQuotas() {
		for _, part := range q.Entity {
			all = append(all, fmt.Appendf(nil, "%s %q of %v", part.EntityType, *part.EntityName, q.Values))
		}
	}
	for m := range img.Records() {
		switch m := m.(type) {
		case *metadata.RegisterBrokerRecord, *metadata.ProducerIdsRecord:
		case *metadata.PartitionRecord:
			all = append(all, fmt.Appendf(nil, "%v-%d on %v", m.TopicID, m.PartitionID, m.Replicas))
		default:
			all = append(all, metadata.AppendValueAt(nil, m, img.MetadataVersion()))
		}
	}
	return all
}

// guards are the values of the records about configs, ACLs, users and quotas that
// are in the metadata log.
func guards(t testing.TB, fsys vfs.FS) (values [][]byte) {
	t.Helper()
	o := storage.DumpOptions{FS: fsys, Codecs: record.NewCodecs(), Records: true, Data: true, Decode: func(_ string, control bool, r *record.Record) []storage.DumpField {
		if control {
			return []storage.DumpField{}
		}
		m, err := metadata.ParseValue(r.Value)
		switch m.(type) {
		case *metadata.ConfigRecord, *metadata.AccessControlEntryRecord, *metadata.UserScramCredentialRecord, *metadata.ClientQuotaRecord:
			values = append(values, bytes.Clone(r.Value))
		}
		if err != nil {
			t.Error(err)
		}
		return []storage.DumpField{}
	}}
	if err := storage.Dump(filepath.Join("/data", raft.TopicPartition, "00000000000000000000.log"), o, func(storage.DumpLine) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return values
}

// newestSnapshot is the newest snapshot of the metadata.
func newestSnapshot(t testing.TB, fsys vfs.FS) []byte {
	t.Helper()
	folder := filepath.Join("/data", raft.TopicPartition)
	entries, err := fsys.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	newest := ""
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".checkpoint" {
			newest = max(newest, e.Name())
		}
	}
	data, err := vfs.ReadFile(fsys, filepath.Join(folder, newest))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// serveKafkas is what a node must serve of a golden folder of Kafka's.
func (w *world) serveKafkas(n *Node) {
	w.Helper()
	c := w.connect(n)
	want := map[string][]string{"orders-0": goldenValues[0], "orders-1": goldenValues[1], "payments-0": payments}
	for _, key := range []string{"orders-0", "orders-1", "payments-0"} {
		topic, p, _ := strings.Cut(key, "-")
		got, code := c.fetch(topic, int32(p[0]-'0'))
		if code != 0 || len(got) < len(want[key]) || !slices.Equal(got[:len(want[key])], want[key]) {
			w.Errorf("%s holds %q, %v; want %q", key, got, code, want[key])
		}
	}
	if _, code := c.fetch("gone", 0); code == 0 {
		w.Error("the deleted topic is back")
	}
	for i := range int64(3) {
		if at := c.committed(fmt.Sprint("group-", i), "orders"); at < 9+i {
			w.Errorf("group-%d is at offset %d, Kafka left it at %d", i, at, 9+i)
		}
	}
}

// A node serves what Kafka left, and what Kafka must find again is there byte for
// byte, in the node's own snapshots too.
func TestKafkasFolder(t *testing.T) {
	for _, kind := range []string{"stopped", "killed"} {
		bubble(t, func(t *testing.T, w *world) {
			w.copyIn(filepath.Join(kafkaDir, kind))
			w.sound()
			before, meta := inspect(t, w.mem)
			guarded := guards(t, w.mem)
			for range 2 {
				n := w.start(snapshotsOften)
				w.serveKafkas(n)
				c := w.connect(n)
				c.mustProduce("orders", 0, "more")
				c.mustCreate("made", 2)
				<-time.After(3 * time.Second) // a snapshot
				c.delete("made")
				w.close(n)
				w.sound()
			}
			after, same := inspect(t, w.mem)
			if meta != same || after.KRaftVersion != before.KRaftVersion || !slices.Equal(after.Voters, before.Voters) {
				t.Errorf("%s: %+v became %+v, %+v became %+v", kind, meta, same, before, after)
			}
			if after.Snapshots <= before.Snapshots {
				t.Errorf("%s: the node made no snapshot", kind)
			}
			if got, want := kept(after.Image), kept(before.Image); !slices.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("%s: the metadata became\n%q\nof\n%q", kind, got, want)
			}
			snapshot := newestSnapshot(t, w.mem)
			for _, value := range guarded {
				if !bytes.Contains(snapshot, value) {
					t.Errorf("%s: the node's snapshot lacks Kafka's record %x", kind, value)
				}
			}
			for _, what := range []string{"ACLs", "SCRAM credentials", "client quotas"} {
				if said := strings.Contains(w.log.String(), "WARN the metadata has "+what); said != (kind == "stopped") {
					t.Errorf("%s: a warning about %s: %t", kind, what, said)
				}
			}
			if acls := len(slices.Collect(after.Image.ACLs())); kind == "stopped" && acls == 0 {
				t.Error("there are no ACLs")
			}
			if level := after.Image.MetadataVersion(); kind == "killed" && level != metadata.MinLevel {
				t.Errorf("metadata.version is %d", level)
			}
		})
	}
}

// A crash at each I/O of the first start on a folder of Kafka's, and of what
// follows: the folder is one that Kafka opens, with everything that Kafka left,
// and Ottla too.
func TestCrashOnKafkasFolder(t *testing.T) {
	for _, kind := range []string{"stopped", "killed"} {
		var before *raft.Inspection
		var meta storage.MetaProperties
		crashes := crashFrom(t, func(w *world) {
			w.copyIn(filepath.Join(kafkaDir, kind))
			before, meta = inspect(t, w.mem)
		}, func(w *world, p *promise) {
			n := w.start(snapshotsOften)
			c := w.connect(n)
			p.write(c, "orders", 0, "x")
			c.commit("group-0", "orders", 77)
			<-time.After(3 * time.Second) // a snapshot
			w.close(n)
		})
		if len(crashes) < 60 {
			t.Fatalf("%d I/Os: too few to be true", len(crashes))
		}
		t.Logf("%s: %d crashes", kind, len(crashes))
		for i, x := range crashes {
			if *keepCrashes != "" && i%(len(crashes)/3) == 0 {
				if err := copyOut(x.mem, filepath.Join(*keepCrashes, fmt.Sprint(kind, "-", i))); err != nil {
					t.Fatal(err)
				}
			}
			bubble(t, func(t *testing.T, w *world) {
				w.mem, w.faults = x.mem, vfs.NewFault(x.mem)
				x.isKafkas(t, before, meta)
				n := w.start()
				w.serveKafkas(n)
				got, _ := w.connect(n).fetch("orders", 0)
				if acked := x.promise.acked["orders-0"]; len(got) < len(goldenValues[0])+len(acked) {
					t.Errorf("orders-0 holds %q, acknowledged are %q too", got, acked)
				}
				w.close(n)
				if t.Failed() {
					t.Fatalf("%s: crash %d, before %v of %s, kept %v/2\n%s", kind, x.point, x.op.Op, x.op.Path, x.kept, w.log)
				}
			})
		}
	}
}

// isKafkas checks what Kafka demands of a folder to open it, and that nothing is
// gone from the metadata.
func (x *crash) isKafkas(t *testing.T, before *raft.Inspection, meta storage.MetaProperties) {
	t.Helper()
	in, same := inspect(t, x.mem)
	if same != meta {
		t.Errorf("meta.properties is %+v, was %+v", same, meta)
	}
	if in.KRaftVersion != before.KRaftVersion || in.Epoch < before.Epoch || in.EndOffset < before.EndOffset {
		t.Errorf("the metadata log is %+v, was %+v", in, before)
	}
	if got, want := kept(in.Image), kept(before.Image); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("the metadata became\n%q\nof\n%q", got, want)
	}
	// Kafka skips recovery when it finds the mark of a clean stop.
	if _, err := x.mem.Stat("/data/.kafka_cleanshutdown"); err != nil {
		return
	}
	problems, err := storage.Verify("/data", storage.VerifyOptions{FS: x.mem, Codecs: record.NewCodecs()})
	if err != nil || len(problems) > 0 {
		t.Errorf("marked as cleanly stopped, but %v, %v", problems, err)
	}
}
