//go:build !linux

package vfs

import "errors"

// Writev writes one buffer after the other: this platform's os.File has no
// call for several at a position.
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

// Allocate writes zeros: this platform has no call that is as good.
func (f *osFile) Allocate(size int64) error { return fill(f, size) }

// Sync makes content and length durable. On macOS the os package uses
// F_FULLFSYNC, because fsync there stops at the drive's own cache.
func (f *osFile) Sync() error { return f.File.Sync() }

// openSyncer has nothing to offer: sync(2) elsewhere returns before the data
// is on disk or reports no errors.
func openSyncer(string) (Syncer, error) { return nil, errors.ErrUnsupported }
