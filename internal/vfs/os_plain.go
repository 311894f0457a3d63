//go:build !linux

package vfs

import "errors"

// Writev writes one buffer at a time: on this platform os.File has no call that
// writes several buffers at a position.
func (f *osFile) Writev(bufs [][]byte, off int64) (int, error) {
	total := 0
	for _, b := range bufs {
		n, err := f.WriteAt(b, off+int64(total))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Allocate writes zeros: this platform has no equivalent of fallocate.
func (f *osFile) Allocate(size int64) error { return fill(f, size) }

// Sync makes content and length durable. On macOS the os package uses
// F_FULLFSYNC, because fsync there stops at the drive's own cache.
func (f *osFile) Sync() error { return f.File.Sync() }

// openSyncer is unsupported: on other platforms sync(2) returns before the data
// is on disk or reports no errors.
func openSyncer(string) (Syncer, error) { return nil, errors.ErrUnsupported }
