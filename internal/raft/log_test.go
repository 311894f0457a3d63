package raft

import (
	"fmt"
	"strings"
	"testing"

	"ottla/internal/metadata"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// TestSaveReplaces: work that gathered may replace entries that are not written
// yet, or are.
func TestSaveReplaces(t *testing.T) {
	w := writeFolder(t, 1, 5, true)
	o := w.options
	s, _, err := openStore(&o, testLog)
	if err != nil {
		t.Fatal(err)
	}
	end := s.end()
	task := func(skip int, term int32, names ...string) *saveTask {
		task := &saveTask{term: -1}
		for i, name := range names {
			batch, err := newDataBatch(5, metadata.CurrentLevel, topics(name))
			if err != nil {
				t.Fatal(err)
			}
			stamp(batch, end.offset+int64(skip+i), term)
			task.entries = append(task.entries, entry{end.index + uint64(skip+i+1), batch})
		}
		return task
	}
	for range 2 { // the second time the disk was full at first
		if err := s.save([]*saveTask{task(0, 1, "a", "b", "c"), task(3, 1, "d"), task(1, 2, "e", "f"), task(2, 3, "g")}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for batch, err := range s.log.Batches(end.offset, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		c, err := committed(batch, o.Codecs)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(c.Records[0].(*metadata.TopicRecord).Name, c.Epoch))
	}
	if strings.Join(got, " ") != "a1 e2 g3" || s.end() != (anchor{end.index + 3, 3, end.offset + 3}) {
		t.Fatalf("the log holds %v and ends at %v", got, s.end())
	}
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSaveRefuses: entries that leave a gap, or that replace what is committed,
// never get to the disk.
func TestSaveRefuses(t *testing.T) {
	w := writeFolder(t, 1, 5, true)
	o := w.options
	s, _, err := openStore(&o, testLog)
	if err != nil {
		t.Fatal(err)
	}
	end := s.end()
	for _, at := range []anchor{{end.index + 1, 1, end.offset}, {end.index, 1, end.offset + 1}, {end.index - 1, 1, end.offset - 1}, {0, 1, 0}} {
		batch, err := newDataBatch(5, metadata.CurrentLevel, topics("x"))
		if err != nil {
			t.Fatal(err)
		}
		stamp(batch, at.offset, at.term)
		if s.append([]entry{{at.index + 1, batch}}) == nil || s.end() != end {
			t.Errorf("entry %d at offset %d was taken behind %v", at.index+1, at.offset, end)
		}
	}
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDiskFullInTheMiddle: of entries that are written at once a part fits. They
// are tried again as a whole.
func TestDiskFullInTheMiddle(t *testing.T) {
	fsys := vfs.NewMem()
	o := testOptions(fsys)
	o.SegmentBytes = 2000
	s, _, err := openStore(&o, testLog)
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	for i := range 20 {
		batch, err := newDataBatch(5, metadata.CurrentLevel, topics(fmt.Sprint(i, strings.Repeat("x", 500))))
		if err != nil {
			t.Fatal(err)
		}
		stamp(batch, int64(i), 1)
		entries = append(entries, entry{uint64(i + 1), batch})
	}
	usage, err := fsys.Usage("")
	if err != nil {
		t.Fatal(err)
	}
	fsys.SetCapacity(int64(usage.Total-usage.Free) + 3*vfs.BlockSize)
	for range 2 {
		if err := s.append(entries); !storage.IsNoSpace(err) || s.end() != (anchor{}) {
			t.Fatalf("%v, the end is %v", err, s.end())
		}
		if s.log.EndOffset() == 0 {
			t.Fatal("nothing fitted: this proves nothing")
		}
	}
	fsys.SetCapacity(0)
	if err := s.append(entries); err != nil || s.end() != (anchor{20, 1, 20}) {
		t.Fatalf("%v, the end is %v", err, s.end())
	}
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
}
