package server

import (
	"io"

	"ottla/internal/vfs"
)

// memory is a region without a file.
type memory struct{ b []byte }

func (m *memory) Len() int { return len(m.b) }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, m.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) File() (vfs.File, int64) { return nil, 0 }
