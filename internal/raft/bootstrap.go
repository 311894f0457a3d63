package raft

import (
	"errors"
	"io/fs"
	"path/filepath"

	"ottla/internal/metadata"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// bootstrapFile is the file in a log dir into which Kafka's format command puts
// the first records of the cluster. It has the form of a snapshot.
const bootstrapFile = "bootstrap.checkpoint"

// ReadBootstrap reads the first records of a cluster whose folder Kafka
// formatted: metadata.version, other features, SCRAM credentials. Before the
// first start they are not in the metadata log. A log dir without the file has
// none. A damaged file is a *CorruptError.
func ReadBootstrap(fsys vfs.FS, dir string, codecs *record.Codecs) ([]metadata.Message, error) {
	file := filepath.Join(dir, bootstrapFile)
	data, err := vfs.ReadFile(fsys, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, pos, err := parseSnapshot(SnapshotID{}, data, codecs)
	if err != nil {
		return nil, &CorruptError{File: file, Offset: -1, Pos: int64(pos), Reason: err.Error()}
	}
	return s.records, nil
}
