package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

const testReserve = 16 * vfs.BlockSize

// reserveTest is a dir that keeps 16 blocks.
func reserveTest(t *testing.T, change func(*Options)) *oneLog {
	return newLogTest(t, func(o *Options) {
		o.Default.SegmentBytes, o.Default.IndexIntervalBytes, o.Default.FileDeleteDelay = 30_000, 500, time.Hour
		o.ReserveBytes = testReserve
		if change != nil {
			change(o)
		}
	})
}

// fillDisk limits the disk and appends until records are refused.
func (o *oneLog) fillDisk() {
	o.t.Helper()
	u := must(o.mem.Usage("/data"))(o.t)
	o.mem.SetCapacity(int64(u.Total-u.Free) + 100*vfs.BlockSize)
	for range 10_000 {
		_, err := o.append(1, record.BuilderOptions{})
		if err == nil {
			continue
		}
		if !errors.Is(err, ErrStorage) || !IsNoSpace(err) {
			o.t.Fatal(err)
		}
		return
	}
	o.t.Fatal("the disk did not get full")
}

func (o *oneLog) reserveSize() int64 {
	o.t.Helper()
	return must(o.mem.Stat("/data/" + reserveName))(o.t).Size()
}

func (o *oneLog) refused() {
	o.t.Helper()
	for range 3 {
		if _, err := o.append(1, record.BuilderOptions{}); !IsNoSpace(err) || !errors.Is(err, ErrStorage) {
			o.t.Fatal("records on a full disk:", err)
		}
	}
	if err := o.AppendAsFollower(batch(o.t, 1, record.BuilderOptions{BaseOffset: o.EndOffset(), LeaderEpoch: 100}, "v")); !IsNoSpace(err) {
		o.t.Fatal("a follower's records on a full disk:", err)
	}
}

// TestReserve: on a full disk records and new partitions are refused, and
// everything else goes on in the space that was kept: reads, checkpoints, the
// metadata log, deletions, which free their space at once. Then records are
// taken again, and the space is kept as before.
func TestReserve(t *testing.T) {
	o := reserveTest(t, nil)
	victim := must(o.m.Create(TopicPartition{Topic: "victim", TopicID: [16]byte{2}}, o.o.Default, [16]byte{}))(t)
	for range 300 {
		must(victim.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, string(make([]byte, 500))), AppendOptions{}))(t)
	}
	if o.reserveSize() != testReserve {
		t.Fatal(o.reserveSize())
	}
	o.fillDisk()
	if o.reserveSize() != 0 {
		t.Fatal("the reserve is still kept")
	}
	o.refused()
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	end := o.EndOffset()
	n := int64(0)
	for b, err := range o.Batches(0, end) {
		if err != nil {
			t.Fatal(err)
		}
		n += int64(b.Count())
	}
	if n != end {
		t.Fatalf("%d of %d records can be read", n, end)
	}
	if err := o.m.Checkpoint(); err != nil {
		t.Fatal("checkpoint on a full disk:", err)
	}
	if _, err := o.m.Create(TopicPartition{Topic: "new"}, o.o.Default, [16]byte{}); !IsNoSpace(err) {
		t.Fatal("a new partition on a full disk:", err)
	}
	o.metadataGoesOn()
	o.refused()

	if err := o.m.Delete("victim", 0); err != nil {
		t.Fatal(err)
	}
	o.m.relieve()
	if a := o.write(1, record.BuilderOptions{}); a.BaseOffset != end || o.reserveSize() != testReserve {
		t.Fatal(a, o.reserveSize())
	}
	o.mem.SetCapacity(0)
	o.reopen()
	if o.EndOffset() != end+1 {
		t.Fatal(o.EndOffset(), end+1)
	}
	o.close()
}

// metadataGoesOn appends to a log of metadata on the same disk.
func (o *oneLog) metadataGoesOn() {
	o.t.Helper()
	l := must(OpenLog(LogOptions{
		FS: o.m.FS(), Path: "/data/__cluster_metadata-0", TP: TopicPartition{Topic: metadataTopic},
		Config: o.o.Default, Now: o.o.Now, Log: o.o.Log, Codecs: o.o.Codecs,
	}))(o.t)
	for range 20 {
		must(l.AppendAsLeader(batch(o.t, 1, record.BuilderOptions{}, string(make([]byte, 300))), AppendOptions{}))(o.t)
	}
	if err := l.Close(); err != nil {
		o.t.Fatal(err)
	}
}

// TestReserveOfTheMetadata: when it is the metadata log that finds the disk
// full, it gets the reserve.
func TestReserveOfTheMetadata(t *testing.T) {
	o := reserveTest(t, nil)
	u := must(o.mem.Usage("/data"))(t)
	o.mem.SetCapacity(int64(u.Total - u.Free)) // somebody else took the rest
	o.metadataGoesOn()
	if o.reserveSize() != 0 {
		t.Fatal("the reserve is still kept")
	}
	o.refused()
}

// TestReserveAndRetention: on a full disk DeleteRecords and retention free
// space by themselves, without waiting for file.delete.delay.ms.
func TestReserveAndRetention(t *testing.T) {
	for name, free := range map[string]func(o *oneLog) error{
		"delete records": func(o *oneLog) error { return o.IncrementStartOffset(o.EndOffset() / 2) },
		"retention.bytes": func(o *oneLog) error {
			c := o.Config()
			c.RetentionBytes = 100_000
			o.UpdateConfig(c)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := reserveTest(t, nil)
			o.fillDisk()
			if err := o.Flush(); err != nil {
				t.Fatal(err)
			}
			o.SetHighWatermark(o.EndOffset())
			o.m.relieve()
			o.refused()
			if err := free(o); err != nil {
				t.Fatal(err)
			}
			o.m.relieve()
			if o.StartOffset() == 0 || o.reserveSize() != testReserve {
				t.Fatal(o.StartOffset(), o.reserveSize())
			}
			o.write(1, record.BuilderOptions{})
			o.m.relieve() // nothing is left to do
			o.close()
		})
	}
}

// TestReserveAtStop: the marker of a clean stop has its space on a full disk,
// and a start there is possible; it refuses records until there is space.
func TestReserveAtStop(t *testing.T) {
	o := reserveTest(t, nil).made()
	o.fillDisk()
	end := o.EndOffset()
	o.reopen()
	if _, clean := o.m.CleanStop(); !clean || o.EndOffset() != end {
		t.Fatal(clean, o.EndOffset(), end)
	}
	o.refused()
	o.kill()
	o.refused()
	o.mem.SetCapacity(0)
	o.write(1, record.BuilderOptions{})
	if o.reserveSize() == 0 {
		t.Fatal(o.reserveSize())
	}
	o.close()
}

// TestReserveSize: another size is taken over by the next start, a small disk
// keeps a twentieth, and 0 nothing.
func TestReserveSize(t *testing.T) {
	o := reserveTest(t, nil).made()
	for _, c := range []struct{ capacity, bytes, want int64 }{
		{0, 3 * vfs.BlockSize, 3 * vfs.BlockSize},
		{0, 5 * vfs.BlockSize, 5 * vfs.BlockSize},
		{40 * vfs.BlockSize, 5 * vfs.BlockSize, 2 * vfs.BlockSize},
	} {
		o.mem.SetCapacity(c.capacity)
		o.o.ReserveBytes = c.bytes
		o.reopen()
		if got := o.reserveSize(); got != c.want {
			t.Fatalf("%+v: %d", c, got)
		}
	}
	o.o.ReserveBytes = 0
	o.reopen()
	if _, err := o.mem.Stat("/data/" + reserveName); err == nil {
		t.Fatal("the file is still there")
	}
	o.close()
}

// TestReserveFails: a disk that fails when the reserve is taken, at the start or
// later, is not a full one.
func TestReserveFails(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpUsage, vfs.OpCreate, vfs.OpWrite} {
		o := reserveTest(t, nil)
		o.fillDisk()
		o.mem.SetCapacity(0)
		o.fs.Add(vfs.Rule{Op: op, Err: syscall.EIO})
		if _, err := o.append(1, record.BuilderOptions{}); !errors.Is(err, syscall.EIO) || len(o.m.Dirs()) != 0 {
			t.Fatal(op, err, o.m.Dirs())
		}
		o.m.abandon()
		o.fs.Clear()
		o.fs.Add(vfs.Rule{Op: op, Path: reserveName, Err: syscall.EIO}, vfs.Rule{Op: vfs.OpUsage & op, Err: syscall.EIO})
		if op == vfs.OpUsage {
			o.fs.Clear()
			o.fs.Add(vfs.Rule{Op: op, Err: syscall.EIO})
		}
		if _, err := OpenManager(context.Background(), o.o); !errors.Is(err, syscall.EIO) {
			t.Fatal(op, err)
		}
	}
}

// TestFullDirIsAvoided: a new partition goes to a dir that has space.
func TestFullDirIsAvoided(t *testing.T) {
	o := reserveTest(t, func(o *Options) { o.Dirs = []string{"/data", "/more"} })
	o.fs.Add(vfs.Rule{Op: vfs.OpWrite, Path: "/data/", Err: syscall.ENOSPC})
	if _, err := o.append(1, record.BuilderOptions{}); !IsNoSpace(err) {
		t.Fatal(err)
	}
	for i := range int32(5) {
		l := must(o.m.Create(TopicPartition{Topic: "u", Partition: i}, o.o.Default, [16]byte{}))(t)
		if want := fmt.Sprintf("/more/u-%d", i); l.Path() != want {
			t.Fatal(l.Path(), want)
		}
	}
	o.refused()
	o.fs.Clear()
	o.write(1, record.BuilderOptions{})
	o.close()
}

// TestRoomIsNotForRecords: what the reserve gives to a checkpoint it does not
// give to the records of a topic, nor to a file of no dir.
func TestRoomIsNotForRecords(t *testing.T) {
	o := reserveTest(t, nil)
	for name, want := range map[string]bool{
		"/data/t-0/00000000000000000000.log":                  false,
		"/data/t-0/00000000000000000000.log.cleaned":          false,
		"/elsewhere/recovery-point-offset-checkpoint":         false,
		"/data/t-0/00000000000000000000.index":                true,
		"/data/t-0/leader-epoch-checkpoint.tmp":               true,
		"/data/recovery-point-offset-checkpoint.tmp":          true,
		"/data/__cluster_metadata-0/00000000000000000000.log": true,
	} {
		if got := o.m.makeRoom(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
		if err := o.m.dirs[0].takesRecords(); err != nil {
			t.Fatal(err)
		}
	}
	if f, err := o.m.FS().OpenFile("/data/x", os.O_RDWR, 0); err == nil {
		t.Fatal("a file that is not there was opened", f)
	}
	o.close()
}

// TestRoomAfterClose: a write that finds no space after the stop gets none of
// the reserve, which is kept for the next start.
func TestRoomAfterClose(t *testing.T) {
	o := reserveTest(t, nil)
	o.close()
	if o.m.makeRoom("/data/x") || o.reserveSize() != testReserve {
		t.Fatal(o.reserveSize())
	}
}
