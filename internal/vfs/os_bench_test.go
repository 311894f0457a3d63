package vfs_test

import (
	"os"
	"path/filepath"
	"testing"

	"ottla/internal/vfs"
)

// BenchmarkWritev measures one append of the log: two buffers at a position.
func BenchmarkWritev(b *testing.B) {
	f, err := vfs.OS{}.OpenFile(filepath.Join(b.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	bufs := [][]byte{make([]byte, 61), make([]byte, 1000)}
	b.ReportAllocs()
	for i := range b.N {
		if _, err := f.Writev(bufs, int64(i%100000)*1061); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCrashClone measures one crash point of a file system of 1 MiB.
func BenchmarkCrashClone(b *testing.B) {
	m := vfs.NewMem()
	f, err := m.OpenFile("/f", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 256 {
		if _, err := f.WriteAt(make([]byte, vfs.BlockSize), int64(i)*vfs.BlockSize); err != nil {
			b.Fatal(err)
		}
		if i == 240 {
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for i := range b.N {
		m.CrashClone(vfs.CrashOptions{Seed: uint64(i), KeepProbability: 0.5})
	}
}
