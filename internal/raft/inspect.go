package raft

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"

	"ottla/internal/metadata"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// Inspection describes the metadata log of a stopped node.
type Inspection struct {
	// Image is the cluster's metadata after the last record. For a folder that
	// was formatted but never started it is the image that the first start will
	// make.
	Image *metadata.Image
	// KRaftVersion is 0 when the voters are those of controller.quorum.voters.
	KRaftVersion int16
	// Voters are the node ids of the quorum.
	Voters []int32
	// Epoch and EndOffset are those of the log. Snapshots is the number of
	// snapshots.
	Epoch     int32
	EndOffset int64
	Snapshots int
	// Torn describes the tail that a start will cut from the log, nil for none.
	Torn error
	// Started tells that a controller has run on the folder.
	Started bool
}

// Inspect reads the metadata log in a log dir like Open, for a node and its
// directory id, but changes nothing. Its error is the error that Open would
// return.
func Inspect(fsys vfs.FS, dir string, self ReplicaKey, codecs *record.Codecs) (*Inspection, error) {
	bootstrap, err := ReadBootstrap(fsys, dir, codecs)
	if err != nil {
		return nil, err
	}
	s := &store{fs: fsys, folder: filepath.Join(dir, TopicPartition), logger: slog.New(slog.DiscardHandler), codecs: codecs}
	if _, err := fsys.Stat(s.folder); errors.Is(err, fs.ErrNotExist) {
		return inspectionOf(bootstrap, self)
	} else if err != nil {
		return nil, err
	}
	o := &Options{NodeID: self.NodeID, DirectoryID: self.DirectoryID, Static: len(bootstrap) > 0, inspect: true}
	l := &loading{store: s, options: o, self: self}
	for _, step := range []func() error{l.read, l.choose, l.checkVoter, l.place, l.checkVote} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	img, err := l.fold()
	if err != nil {
		return nil, err
	}
	if img.MetadataVersion() == 0 && !l.vote.found {
		return inspectionOf(bootstrap, self)
	}
	in := &Inspection{
		Image: img, KRaftVersion: maxKRaftVersion, Epoch: l.vote.epoch, EndOffset: max(l.scan.end(), l.snapshot.id.EndOffset),
		Snapshots: len(l.ids), Started: l.vote.found,
	}
	if l.static {
		in.KRaftVersion = 0
	}
	for i := range l.snapshot.voters.Voters {
		in.Voters = append(in.Voters, l.snapshot.voters.Voters[i].VoterID)
	}
	if l.scan.torn != nil {
		in.Torn = l.scan.torn
	}
	return in, nil
}

// inspectionOf returns the inspection of a folder without a metadata log.
func inspectionOf(bootstrap []metadata.Message, self ReplicaKey) (*Inspection, error) {
	img, _, err := metadata.Empty().Apply(bootstrap, int64(len(bootstrap))-1, 0)
	in := &Inspection{Image: img, KRaftVersion: maxKRaftVersion, Voters: []int32{self.NodeID}}
	if len(bootstrap) > 0 {
		in.KRaftVersion = 0
	}
	return in, err
}

// fold applies the snapshot and the log after it.
func (l *loading) fold() (*metadata.Image, error) {
	id := l.snapshot.id
	img, _, err := metadata.Empty().Apply(l.snapshot.records, id.EndOffset-1, id.Epoch)
	if err != nil || l.reset {
		return img, err
	}
	for _, segment := range l.scan.segments {
		if img, err = l.foldSegment(img, segment); err != nil {
			return nil, err
		}
	}
	return img, nil
}

// foldSegment applies the valid batches of a segment.
func (l *loading) foldSegment(img *metadata.Image, segment segmentFile) (*metadata.Image, error) {
	r, err := openBatches(l.fs, segment.path)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for {
		if torn := l.scan.torn; torn != nil && torn.File == segment.path && r.pos >= torn.Pos {
			return img, nil
		}
		batch, err := r.next()
		if errors.Is(err, io.EOF) {
			return img, nil
		}
		if err != nil {
			return nil, err
		}
		r.pos += int64(len(batch))
		if batch.BaseOffset() < l.snapshot.id.EndOffset {
			continue
		}
		c, err := committed(batch, l.codecs)
		if err == nil {
			img, _, err = img.Apply(c.Records, c.LastOffset, c.Epoch)
		}
		if err != nil {
			return nil, err
		}
	}
}
