package raft

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"path/filepath"

	"ottla/internal/metadata"
	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// Verify checks the folder of the metadata log of a stopped node, Ottla's or
// Kafka's, and changes nothing. It checks that quorum-state is readable, every
// snapshot is intact, the batches follow each other, no batch has an epoch
// beyond that of quorum-state, every record is a metadata record, and the log
// reaches back to the oldest snapshot that is needed. dir is the metadata log
// dir; a dir without the folder is valid. It does not repeat the checks of
// storage.Verify (CRC, indexes). The returned error is one of the file system.
func Verify(fsys vfs.FS, dir string, codecs *record.Codecs) ([]storage.Problem, error) {
	v := &verifier{fs: fsys, folder: filepath.Join(dir, TopicPartition), codecs: codecs}
	if _, err := fsys.Stat(v.folder); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	for _, step := range []func() error{v.quorumState, v.snapshots, v.log} {
		if err := v.found(step()); err != nil {
			return v.problems, err
		}
	}
	return v.problems, nil
}

type verifier struct {
	fs       vfs.FS
	folder   string
	codecs   *record.Codecs
	problems []storage.Problem
	maxEpoch int32
	reach    int64 // the highest end offset of a snapshot, damaged ones included
}

// found records a CorruptError as a problem and returns other errors.
func (v *verifier) found(err error) error {
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) {
		return err
	}
	v.problems = append(v.problems, storage.Problem{File: corrupt.File, Segment: -1, Offset: corrupt.Offset, Pos: corrupt.Pos, Message: corrupt.Reason})
	return nil
}

func (v *verifier) quorumState() error {
	q, err := openQuorumState(v.fs, v.folder)
	v.maxEpoch = math.MaxInt32
	if err == nil && q.found {
		v.maxEpoch = q.epoch
	}
	return err
}

// snapshots checks every snapshot.
func (v *verifier) snapshots() error {
	ids, _, err := listSnapshots(v.fs, v.folder)
	if err != nil {
		return err
	}
	for _, id := range ids {
		v.reach = max(v.reach, id.EndOffset)
		data, err := vfs.ReadFile(v.fs, id.file(v.folder))
		if err != nil {
			return err
		}
		_, pos, err := parseSnapshot(id, data, v.codecs)
		if err != nil {
			if err := v.found(&CorruptError{File: id.file(v.folder), Offset: -1, Pos: int64(pos), Reason: err.Error()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// log checks the batches and their records. A torn tail is a problem only if
// something proves that it was synced; otherwise a start cuts it.
func (v *verifier) log() error {
	scan, err := scanLog(v.fs, v.folder, v.maxEpoch)
	if err != nil {
		return err
	}
	if scan.torn != nil && scan.proof != "" {
		scan.torn.Reason += "; " + scan.proof
		return scan.torn
	}
	if begin := scan.index.before.offset; v.reach < begin {
		return &CorruptError{File: v.folder, Offset: begin, Reason: "the log begins there, but no snapshot reaches to it"}
	}
	for _, segment := range scan.segments {
		if err := v.records(segment, scan); err != nil {
			return err
		}
	}
	return nil
}

// records parses every record of a segment's valid batches.
func (v *verifier) records(segment segmentFile, scan *logScan) error {
	r, err := openBatches(v.fs, segment.path)
	if err != nil {
		return err
	}
	defer r.close()
	for scan.torn == nil || segment.path != scan.torn.File || r.pos < scan.torn.Pos {
		batch, err := r.next()
		var bad *badBatch
		if err != nil && !errors.As(err, &bad) {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err == nil {
			err = v.batch(batch)
		}
		if err != nil {
			return &CorruptError{File: segment.path, Offset: -1, Pos: r.pos, Reason: err.Error()}
		}
		r.pos += int64(len(batch))
	}
	return nil
}

func (v *verifier) batch(batch record.Batch) error {
	if !batch.IsControl() {
		_, err := dataRecords(nil, batch, v.codecs)
		return err
	}
	return controlRecords(batch, func(t record.ControlType, value []byte) error {
		_, err := ParseControl(t, value)
		return err
	})
}

// ParseControl parses the value of a control record of the metadata log. It
// returns nil for an unknown type.
func ParseControl(t record.ControlType, value []byte) (any, error) {
	var m interface {
		Parse(src []byte, version int16) error
	}
	switch t {
	case record.ControlLeaderChange:
		m = &metadata.LeaderChangeMessage{}
	case record.ControlSnapshotHeader:
		m = &metadata.SnapshotHeaderRecord{}
	case record.ControlSnapshotFooter:
		m = &metadata.SnapshotFooterRecord{}
	case record.ControlKRaftVersion:
		m = &metadata.KRaftVersionRecord{}
	case record.ControlKRaftVoters:
		m = &metadata.VotersRecord{}
	default:
		return nil, nil
	}
	return m, m.Parse(value, 0)
}
