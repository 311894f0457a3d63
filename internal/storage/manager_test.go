package storage

import (
	"context"
	"errors"
	"fmt"

	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

func names(t testing.TB, fsys vfs.FS, dir string) (list []string) {
	t.Helper()
	for _, e := range must(fsys.ReadDir(dir))(t) {
		list = append(list, e.Name())
	}
	return list
}

// TestLogDir: what a dir holds while a node runs and after a clean stop.
func TestLogDir(t *testing.T) {
	o := newLogTest(t, nil)
	o.write(1, record.BuilderOptions{})
	if got := fmt.Sprint(names(t, o.mem, "/data")); got != "[.lock meta.properties t-0]" {
		t.Error(got)
	}
	if err := o.m.Close(42); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(names(t, o.mem, "/data")); got != "[.kafka_cleanshutdown .lock meta.properties recovery-point-offset-checkpoint replication-offset-checkpoint t-0]" {
		t.Error(got)
	}
	for name, want := range map[string]string{
		cleanName: `{"version":0,"brokerEpoch":42}`, recoveryName: "0\n1\nt 0 1\n", replicationName: "0\n1\nt 0 0\n",
		"t-0/" + epochsName: "0\n1\n0 0\n",
	} {
		if got := string(must(vfs.ReadFile(o.mem, filepath.Join("/data", name)))(t)); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	o.m = openManager(t, o.o)
	if epoch, clean := o.m.CleanStop(); epoch != 42 || !clean {
		t.Error(epoch, clean)
	}
	if slices.Contains(names(t, o.mem.CrashClone(vfs.CrashOptions{}), "/data"), cleanName) {
		t.Error("the marker of a clean stop would come back after a crash")
	}
	o.m.abandon()
	o.m = openManager(t, o.o)
	if epoch, clean := o.m.CleanStop(); epoch != -1 || clean {
		t.Error(epoch, clean)
	}
	if err := errors.Join(o.m.Close(-1), o.m.Close(-1)); err != nil {
		t.Error(err)
	}
	if _, err := o.m.Create(TopicPartition{Topic: "late"}, o.o.Default, [16]byte{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestRefusedDirs: a dir in use, and one of another node or cluster, end the
// start with an error that says so.
func TestRefusedDirs(t *testing.T) {
	o := newLogTest(t, nil)
	if _, err := OpenManager(context.Background(), o.o); !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), "/data") {
		t.Error(err)
	}
	o.close()
	for _, change := range []func(*Options){func(o *Options) { o.NodeID = 2 }, func(o *Options) { o.ClusterID = "other" }} {
		options := o.o
		change(&options)
		if _, err := OpenManager(context.Background(), options); !errors.Is(err, errForeignDir) {
			t.Error(err)
		}
	}
	if err := writeFile(o.mem, "/data/meta.properties", []byte("version=7\n")); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := OpenManager(context.Background(), o.o); !errors.As(err, &corrupt) {
		t.Error(err)
	}
	o.o.Dirs = nil
	if _, err := OpenManager(context.Background(), o.o); err == nil {
		t.Error("no dirs at all")
	}
}

// TestSeveralDirs: partitions are spread, found again, and live on when another
// dir fails, at the start or later.
func TestSeveralDirs(t *testing.T) {
	failures := make(chan DirFailure, 10)
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	o := testOptions(fault)
	o.Dirs = []string{"/disk/a", "/disk/b", "/disk/c"}
	o.OnDirFailure = func(f DirFailure) { failures <- f }
	m := openManager(t, o)
	ids := map[[16]byte]string{}
	for _, d := range m.Dirs() {
		ids[d.ID] = d.Path
		meta := must(ReadMetaProperties(mem, d.Path))(t)
		if meta != (MetaProperties{ClusterID: "cluster", NodeID: 1, DirectoryID: d.ID}) {
			t.Fatal(meta)
		}
		if u := must(m.Usage(d))(t); u.Total == 0 {
			t.Fatal(u)
		}
	}
	if len(ids) != 3 {
		t.Fatal(ids)
	}
	perDir := map[string]int{}
	for i := range int32(9) {
		l := must(m.Create(TopicPartition{Topic: "t", Partition: i, TopicID: [16]byte{1}}, o.Default, [16]byte{}))(t)
		perDir[ids[l.DirID()]]++
		if _, err := l.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(perDir) != "map[/disk/a:3 /disk/b:3 /disk/c:3]" {
		t.Fatal(perDir)
	}
	for id, path := range ids {
		l := must(m.Create(TopicPartition{Topic: "chosen" + filepath.Base(path), TopicID: [16]byte{2}}, o.Default, id))(t)
		if l.DirID() != id || l.Path() != path+"/chosen"+filepath.Base(path)+"-0" {
			t.Fatal(l.Path())
		}
	}
	if _, err := m.Create(TopicPartition{Topic: "x"}, o.Default, [16]byte{9}); !errors.Is(err, ErrUnknownDir) {
		t.Fatal(err)
	}
	fault.Add(vfs.Rule{Op: vfs.OpWrite, Path: "/disk/b/", Err: syscall.EIO})
	online, offline := 0, 0
	for l := range m.All() {
		_, err := l.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{})
		switch {
		case err == nil:
			online++
		case errors.Is(err, ErrStorage) && ids[l.DirID()] == "/disk/b":
			offline++
		default:
			t.Fatal(err)
		}
	}
	if f := <-failures; online != 8 || offline != 4 || f.Path != "/disk/b" || len(m.Dirs()) != 2 {
		t.Fatal(online, offline, f)
	}
	for i := range int32(6) {
		if l := must(m.Create(TopicPartition{Topic: "later", Partition: i}, o.Default, [16]byte{}))(t); ids[l.DirID()] == "/disk/b" {
			t.Fatal("created in the dir that failed")
		}
	}
	if err := m.Close(-1); !errors.Is(err, ErrStorage) {
		t.Fatal(err)
	}
	fault.Clear()
	fault.Add(vfs.Rule{Path: "/disk/c", Err: syscall.EIO}) // at the start
	m = openManager(t, o)
	f := DirFailure{}
	if m.start(); true { // manual does not
		for _, offline := range m.offline {
			f = offline
		}
	}
	if f.Path != "/disk/c" || len(m.Dirs()) != 2 || m.Log("chosenc", 0) != nil || m.Log("chosena", 0) == nil {
		t.Fatal(f, m.Dirs())
	}
	if _, clean := m.CleanStop(); clean {
		t.Fatal("clean, with a dir that cannot be opened")
	}
	if err := m.Close(-1); err != nil {
		t.Fatal(err)
	}
	fault.Add(vfs.Rule{Err: syscall.EIO})
	if _, err := OpenManager(context.Background(), o); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
}

// TestCordonedDirs: new partitions go elsewhere unless that dir is asked for.
func TestCordonedDirs(t *testing.T) {
	o := testOptions(vfs.NewMem())
	o.Dirs = []string{"/a", "/b"}
	o.Logs.CordonedDirs = []string{"/a"}
	m := openManager(t, o)
	for i := range int32(3) {
		if l := must(m.Create(TopicPartition{Topic: "t", Partition: i}, o.Default, [16]byte{}))(t); !strings.HasPrefix(l.Path(), "/b/") {
			t.Fatal(l.Path())
		}
	}
	if l := must(m.Create(TopicPartition{Topic: "u"}, o.Default, m.Dirs()[0].ID))(t); l.Path() != "/a/u-0" {
		t.Fatal(l.Path())
	}
	m.Close(-1)
}

// TestDirOfOldKafka: a dir without an id gets one and keeps the rest.
func TestDirOfOldKafka(t *testing.T) {
	mem := vfs.NewMem()
	if err := errors.Join(mem.MkdirAll("/data", 0o755), writeFile(mem, "/data/meta.properties", []byte("version=1\ncluster.id=cluster\nnode.id=1\n"))); err != nil {
		t.Fatal(err)
	}
	m := openManager(t, testOptions(mem))
	if meta := must(ReadMetaProperties(mem, "/data"))(t); meta.DirectoryID == [16]byte{} || meta.DirectoryID != m.Dirs()[0].ID {
		t.Fatal(meta)
	}
	m.Close(-1)
	if err := WriteMetaProperties(mem, "/data", MetaProperties{ClusterID: "cluster", NodeID: 1, DirectoryID: [16]byte{5}}); err != nil {
		t.Fatal(err)
	}
	m = openManager(t, testOptions(mem))
	if m.Dirs()[0].ID != [16]byte{5} {
		t.Fatal(m.Dirs())
	}
	m.Close(-1)
}

// TestCreateAndDelete: a deleted partition is gone at once and durably, its
// files after the delay, and a new topic of that name begins with nothing of it
// (P14).
func TestCreateAndDelete(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.FileDeleteDelay = time.Minute })
	if _, err := o.m.Create(TopicPartition{Topic: "t"}, o.o.Default, [16]byte{}); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	for range 10 {
		o.write(1, record.BuilderOptions{})
	}
	o.SetHighWatermark(10)
	if err := errors.Join(o.IncrementStartOffset(7), o.Flush(), o.m.Checkpoint(), o.m.dirs[0].writeStarts(), o.m.dirs[0].writeHighWatermarks()); err != nil {
		t.Fatal(err)
	}
	old := o.Log
	if err := o.m.Delete("t", 0); err != nil {
		t.Fatal(err)
	}
	if err := o.m.Delete("t", 0); err != nil {
		t.Fatal("again:", err)
	}
	if _, err := old.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := old.Flush(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	clone := o.mem.CrashClone(vfs.CrashOptions{})
	if list := names(t, clone, "/data"); slices.Contains(list, "t-0") || len(list) != 7 {
		t.Fatal(list)
	}
	o.Log = must(o.m.Create(TopicPartition{Topic: "t", TopicID: [16]byte{2}}, o.o.Default, [16]byte{}))(t)
	if o.StartOffset() != 0 || o.EndOffset() != 0 || o.HighWatermark() != 0 {
		t.Fatal(o.StartOffset(), o.EndOffset(), o.HighWatermark())
	}
	o.write(3, record.BuilderOptions{})
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	o.o.FS = o.mem.CrashClone(vfs.CrashOptions{})
	crashed := openManager(t, o.o)
	if l := crashed.Log("t", 0); l.StartOffset() != 0 || l.EndOffset() != 3 || l.TP().TopicID != [16]byte{2} || l.HighWatermark() != 0 {
		t.Fatal(l.StartOffset(), l.EndOffset(), l.TP(), l.HighWatermark())
	}
	crashed.Close(-1)
	trash := func() int {
		return len(slices.DeleteFunc(names(t, o.mem, "/data"), func(n string) bool { return !strings.HasSuffix(n, deleteDirSuffix) }))
	}
	o.time.ms += 59_999
	if o.m.EmptyTrash(); trash() != 1 {
		t.Fatal(trash())
	}
	o.time.ms++
	if o.m.EmptyTrash(); trash() != 0 {
		t.Fatal(trash())
	}
	o.o.FS = o.fs
	if err := o.m.Delete("t", 0); err != nil {
		t.Fatal(err)
	}
	o.m.abandon() // a restart removes what was deleted, without the delay
	o.m = openManager(t, o.o)
	if o.m.Log("t", 0) != nil || trash() != 1 {
		t.Fatal(trash())
	}
	if o.m.EmptyTrash(); trash() != 0 {
		t.Fatal(trash())
	}
	o.close()
}

// TestFoldersThatAreNotOurs: strays and replicas that were being moved are
// kept, and so is what is no partition at all (M13).
func TestFoldersThatAreNotOurs(t *testing.T) {
	o := newLogTest(t, nil)
	o.write(1, record.BuilderOptions{})
	if err := errors.Join(o.m.Quarantine("t", 0), o.m.Quarantine("t", 0)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"u-0.0123456789abcdef0123456789abcdef-future", "lost+found", "nothing", "__cluster_metadata-0", "x-y"} {
		if err := o.mem.MkdirAll("/data/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := names(t, o.mem, "/data")
	o.kill0()
	o.m.EmptyTrash()
	if after := names(t, o.mem, "/data"); !slices.Equal(before, after) {
		t.Fatalf("%v\nnow\n%v", before, after)
	}
	for l := range o.m.All() {
		t.Fatal(l.TP())
	}
	if strays := strings.Join(before, " "); !strings.Contains(strays, "t-0.") || !strings.Contains(strays, strayDirSuffix) {
		t.Fatal(strays)
	}
	o.m.Close(-1)
}

// kill0 is kill without a partition to find.
func (o *oneLog) kill0() {
	o.m.abandon()
	o.m = openManager(o.t, o.o)
}

// TestTwoFoldersOfOnePartition: the start is refused, with both names.
func TestTwoFoldersOfOnePartition(t *testing.T) {
	mem := vfs.NewMem()
	o := testOptions(mem)
	o.Dirs = []string{"/a", "/b"}
	m := openManager(t, o)
	for _, d := range m.Dirs() {
		if _, err := m.Create(TopicPartition{Topic: "t", Partition: int32(len(d.Path)), TopicID: [16]byte{1}}, o.Default, d.ID); err != nil && !errors.Is(err, ErrExists) {
			t.Fatal(err)
		}
	}
	m.Close(-1)
	if err := errors.Join(mem.MkdirAll("/b/t-2", 0o755), mem.MkdirAll("/a/t-2", 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenManager(context.Background(), o); err == nil || !strings.Contains(err.Error(), "/a") || !strings.Contains(err.Error(), "/b") {
		t.Fatal(err)
	}
}

// TestTopicID: the id of a folder is never changed, but given to one without.
func TestTopicID(t *testing.T) {
	o := newLogTest(t, nil).made()
	if err := o.AssignTopicID([16]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := o.AssignTopicID([16]byte{2}); !errors.Is(err, ErrTopicID) {
		t.Fatal(err)
	}
	o.close()
	for _, content := range []string{"", "version: 0\n"} {
		if err := writeFile(o.mem, "/data/t-0/partition.metadata", []byte(content)); err != nil {
			t.Fatal(err)
		}
		o.m = openManager(t, o.o)
		o.Log = o.m.Log("t", 0)
		if o.TP().TopicID != [16]byte{} {
			t.Fatal(o.TP())
		}
		if err := o.AssignTopicID([16]byte{2}); err != nil {
			t.Fatal(err)
		}
		o.reopen()
		if o.TP().TopicID != [16]byte{2} {
			t.Fatal(o.TP())
		}
		o.close()
	}
}

// TestConfigs: a topic's config is asked for at open, and may change later.
func TestConfigs(t *testing.T) {
	o := newLogTest(t, func(o *Options) {
		o.TopicConfig = func(topic string) (config.Topic, bool) {
			c := testConfig()
			c.RetentionBytes = 777
			return c, topic == "t"
		}
	}).made()
	makeFolder(t, must(o.m.Create(TopicPartition{Topic: "u"}, o.o.Default, [16]byte{}))(t))
	o.reopen()
	if got := o.Config().RetentionBytes; got != 777 {
		t.Error(got)
	}
	if got := o.m.Log("u", 0).Config().RetentionBytes; got != -1 {
		t.Error(got)
	}
	c := o.Config()
	c.MaxMessageBytes = 80
	o.UpdateConfig(c)
	var invalid *record.InvalidError
	if _, err := o.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "too much for that"), AppendOptions{}); !errors.As(err, &invalid) || invalid.Kind != record.TooLarge {
		t.Error(err)
	}
	o.close()
}

// TestUnreadableCheckpoints: a checkpoint of the dir that cannot be read costs
// a longer scan and nothing else.
func TestUnreadableCheckpoints(t *testing.T) {
	o, batches := damaged(t)
	o.down(false)
	for _, name := range []string{recoveryName, startName, replicationName} {
		if err := writeFile(o.mem, filepath.Join("/data", name), []byte("nonsense")); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	o.whole(batches)
	o.close()
}

// TestOpenFilesLimit: with many partitions and few descriptors everything is
// read and written, and the limit holds but for dirty files.
func TestOpenFilesLimit(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.OpenFilesMax, o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 10, 2000, 100 })
	for i := range int32(30) {
		if _, err := o.m.Create(TopicPartition{Topic: "u", Partition: i, TopicID: [16]byte{1}}, o.o.Default, [16]byte{}); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		for l := range o.m.All() {
			if _, err := l.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if o.m.env.files.open.Load() < 31 {
			t.Fatal("dirty files were closed")
		}
		o.m.dirs[0].flusher.round()
		if n := o.m.env.files.open.Load(); n > 10 {
			t.Fatalf("%d files are open", n)
		}
	}
	for l := range o.m.All() {
		n := int64(0)
		for b, err := range l.Batches(0, l.EndOffset()) {
			if err != nil {
				t.Fatal(err)
			}
			n += int64(b.Count())
		}
		if n != 50 {
			t.Fatal(n)
		}
	}
	o.close()
	if n := o.m.env.files.open.Load(); n != 0 {
		t.Fatalf("%d files are open after the close", n)
	}
}

// TestMoreDirtyFilesThanMayBeOpen: whoever appends to more logs than may be open
// waits for the disk, in any mode; no append fails for that. Who reads finds room,
// when there is some above what may stay open.
func TestMoreDirtyFilesThanMayBeOpen(t *testing.T) {
	const logs, writers, rounds, most = 60, 4, 20, 8
	for _, c := range []struct {
		durability config.Durability
		limit      int
		read       bool
	}{
		{config.Fsync, 20, true}, {config.PageCache, 20, true},
		{config.Fsync, most + 1, false}, {config.PageCache, most + 1, false},
	} {
		o := newLogTest(t, func(o *Options) {
			o.manual, o.Durability, o.OpenFilesMax, o.OpenFilesLimit = false, c.durability, most, c.limit
		})
		all := o.createMany(logs)
		use := func(i int) error {
			if _, err := all[i%logs].AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); err != nil || !c.read {
				return err
			}
			s, err := all[i*7%logs].Read(0, 1, 1000, true)
			s.Release()
			return err
		}
		var beside sync.WaitGroup
		for w := range writers {
			beside.Go(func() {
				for i := w; i < rounds*logs; i += writers {
					if err := use(i); err != nil {
						t.Errorf("%+v: %v", c, err)
						return
					}
				}
			})
		}
		beside.Wait()
		for _, l := range all {
			if l.EndOffset() != rounds && !t.Failed() {
				t.Errorf("%+v: %s ends at %d", c, l.path, l.EndOffset())
			}
		}
		o.close()
	}
}

// TestReadersOfTooManyFiles: readers that hold files up to the limit stop other
// readers and first appends, and neither flushes nor checkpoints.
func TestReadersOfTooManyFiles(t *testing.T) {
	const logs, most, limit = 10, 3, 6
	o := newLogTest(t, func(o *Options) { o.OpenFilesMax, o.OpenFilesLimit = most, limit })
	all := o.createMany(logs)
	one := func() []byte { return batch(t, 1, record.BuilderOptions{}, "v") }
	for _, l := range all {
		must(l.AppendAsLeader(one(), AppendOptions{}))(t)
		must(0, l.Flush())(t)
	}
	var held []Slice
	for _, l := range all[:limit] {
		held = append(held, must(l.Read(0, 1, 1000, true))(t))
	}
	if _, err := all[limit].Read(0, 1, 1000, true); !errors.Is(err, ErrStorage) || !Passes(err) {
		t.Errorf("one reader more: %v", err)
	}
	if _, err := all[limit].AppendAsLeader(one(), AppendOptions{}); !errors.Is(err, ErrStorage) || !Passes(err) {
		t.Errorf("an append to a file that is not open: %v", err)
	}
	must(all[0].AppendAsLeader(one(), AppendOptions{}))(t)
	must(0, errors.Join(all[0].Flush(), o.m.Checkpoint()))(t)
	held[0].Release()
	must(all[limit].AppendAsLeader(one(), AppendOptions{}))(t)
	for i := range held[1:] {
		held[1+i].Release()
	}
	if len(o.m.Dirs()) != 1 {
		t.Error("the log dir is offline")
	}
	o.close()
}

// TestOutOfDescriptors: when the process has none left, idle files make room;
// when there is no idle one either, the append fails and the dir stays online.
func TestOutOfDescriptors(t *testing.T) {
	o := newLogTest(t, nil)
	o.write(1, record.BuilderOptions{})
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	other := must(o.m.Create(TopicPartition{Topic: "u"}, o.o.Default, [16]byte{}))(t)
	other.active().file.retireHandle()
	o.fs.Add(vfs.Rule{Op: vfs.OpOpen, Count: 1, Err: syscall.EMFILE})
	if _, err := other.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	other.active().file.retireHandle()
	o.fs.Add(vfs.Rule{Op: vfs.OpOpen, Err: syscall.EMFILE})
	if _, err := other.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); !errors.Is(err, ErrStorage) || len(o.m.Dirs()) != 1 {
		t.Fatal(err)
	}
	o.fs.Clear()
	o.close()
}

// retireHandle closes an idle file as the limit does.
func (f *file) retireHandle() { closeAll(f.files.takeIdle()) }
