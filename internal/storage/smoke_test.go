package storage

import (
	"fmt"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

func TestSmoke(t *testing.T) {
	for _, fsys := range []struct {
		name string
		fs   vfs.FS
		dir  string
	}{{"mem", vfs.NewMem(), "/data"}, {"os", vfs.OS{}, t.TempDir()}} {
		t.Run(fsys.name, func(t *testing.T) {
			o := testOptions(fsys.fs)
			o.Dirs = []string{fsys.dir}
			m := openManager(t, o)
			c := testConfig()
			c.SegmentBytes = 4096
			l, err := m.Create(TopicPartition{Topic: "t", Partition: 0, TopicID: [16]byte{1}}, c, [16]byte{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 100 {
				a, err := l.AppendAsLeader(batch(t, 3, record.BuilderOptions{}, fmt.Sprint("v", i)), AppendOptions{LeaderEpoch: 1})
				if err != nil {
					t.Fatal(err)
				}
				if a.BaseOffset != int64(3*i) {
					t.Fatal(a)
				}
			}
			check := func(l *Log) {
				t.Helper()
				n := int64(0)
				for b, err := range l.Batches(0, l.EndOffset()) {
					if err != nil {
						t.Fatal(err)
					}
					if b.BaseOffset() != n {
						t.Fatal(b, n)
					}
					n = b.NextOffset()
				}
				if n != 300 {
					t.Fatal(n)
				}
			}
			check(l)
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := m.Close(-1); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				m = openManager(t, o)
				l = m.Log("t", 0)
				check(l)
				to, ok, err := l.OffsetForTimestamp(startMs + 2)
				if err != nil || !ok || to.Offset != 2 {
					t.Fatal(to, ok, err)
				}
				if err := m.Close(-1); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
