package raft

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"ottla/internal/vfs"
)

// receive writes the file like writeSnapshot. It is checked before it gets its
// final name, so a file with that name is complete.
func (s *store) receive(id SnapshotID, content io.ReaderAt, size int64) error {
	if s.has(id) {
		return nil
	}
	temp := filepath.Join(s.folder, id.String()+partialSuffix)
	f, err := s.fs.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err = io.Copy(&fileWriter{file: f}, io.NewSectionReader(content, 0, size)); err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = s.check(temp, id)
	}
	if err != nil {
		_ = s.fs.Remove(temp) // best effort: the first error is reported
		return err
	}
	if err := publishSnapshot(s.fs, s.folder, temp, id); err != nil {
		return err
	}
	return s.learn(id, nil)
}

func (s *store) check(file string, id SnapshotID) error {
	data, err := vfs.ReadFile(s.fs, file)
	if err != nil {
		return err
	}
	snap, pos, err := parseSnapshot(id, data, s.codecs)
	if err == nil && snap.static {
		err = errors.New("the voters are missing")
	}
	if err != nil {
		return &CorruptError{File: file, Offset: -1, Pos: int64(pos), Reason: err.Error()}
	}
	return nil
}

// fileWriter writes a file from its beginning.
type fileWriter struct {
	file vfs.File
	pos  int64
}

func (w *fileWriter) Write(p []byte) (int, error) {
	n, err := w.file.WriteAt(p, w.pos)
	w.pos += int64(n)
	return n, err
}
