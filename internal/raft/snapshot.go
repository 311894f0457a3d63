package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ottla/internal/metadata"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// SnapshotID names a snapshot: the offset after the last record in it and the
// epoch of that record. The first one is 0, 0.
type SnapshotID struct {
	EndOffset int64
	Epoch     int32
}

const (
	snapshotSuffix = ".checkpoint"
	partialSuffix  = ".checkpoint.part"
	deletedSuffix  = ".checkpoint.deleted" // Kafka renames before it removes
)

// String is the name without the suffix: 20 digits of offset, 10 of epoch.
func (id SnapshotID) String() string { return fmt.Sprintf("%020d-%010d", id.EndOffset, id.Epoch) }

func (id SnapshotID) file(folder string) string {
	return filepath.Join(folder, id.String()+snapshotSuffix)
}

// compare sorts by offset, like Kafka.
func (id SnapshotID) compare(other SnapshotID) int {
	if id.EndOffset != other.EndOffset {
		return int(max(-1, min(1, id.EndOffset-other.EndOffset)))
	}
	return int(max(-1, min(1, int64(id.Epoch)-int64(other.Epoch))))
}

// marshal encodes the id for a message between voters: offset int64, epoch
// int32.
func (id SnapshotID) marshal() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(id.EndOffset))
	return binary.BigEndian.AppendUint32(b, uint32(id.Epoch))
}

// ParseSnapshotID reads the snapshot id of a message of type MsgSnap. The
// snapshot must be fetched from the sender and passed to Node.ReceiveSnapshot
// before Node.Step.
func ParseSnapshotID(data []byte) (SnapshotID, error) {
	if len(data) != 12 {
		return SnapshotID{}, fmt.Errorf("a snapshot id has 12 bytes, this one %d", len(data))
	}
	id := SnapshotID{int64(binary.BigEndian.Uint64(data)), int32(binary.BigEndian.Uint32(data[8:]))}
	if id.EndOffset < 0 || id.Epoch < 0 {
		return SnapshotID{}, fmt.Errorf("the snapshot id %v is negative", id)
	}
	return id, nil
}

// parseSnapshotName parses a file name.
func parseSnapshotName(name string) (id SnapshotID, ok bool) {
	stem, ok := strings.CutSuffix(name, snapshotSuffix)
	if !ok || len(stem) != 31 || stem[20] != '-' {
		return id, false
	}
	offset, err := strconv.ParseInt(stem[:20], 10, 64)
	epoch, err2 := strconv.ParseInt(stem[21:], 10, 32)
	id = SnapshotID{offset, int32(epoch)}
	return id, err == nil && err2 == nil && id.String() == stem
}

// listSnapshots lists the snapshots of a folder, oldest first, and the
// leftovers of snapshots that were not finished or only partly removed.
func listSnapshots(fsys vfs.FS, folder string) (ids []SnapshotID, leftovers []string, err error) {
	entries, err := fsys.ReadDir(folder)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		name := e.Name()
		if id, ok := parseSnapshotName(name); ok {
			ids = append(ids, id)
		} else if strings.HasSuffix(name, partialSuffix) || strings.HasSuffix(name, deletedSuffix) {
			leftovers = append(leftovers, filepath.Join(folder, name))
		}
	}
	slices.SortFunc(ids, SnapshotID.compare)
	return ids, leftovers, nil
}

// snapshotMeta is the data about a snapshot that raft needs.
type snapshotMeta struct {
	id SnapshotID
	// index is the index of the last entry in it.
	index uint64
	// timestamp is the timestamp of the last batch in it, in ms.
	timestamp int64
	voters    *metadata.VotersRecord
	// static is true if the voters are not stored (kraft.version 0). The
	// configuration has them; for a single node that is this node.
	static bool
}

func (m *snapshotMeta) anchor() anchor { return anchor{m.index, m.id.Epoch, m.id.EndOffset} }

// indexTag is the tagged field of SnapshotHeaderRecord that holds raft's index:
// 8 bytes, big endian. Kafka does not know it, and preserves it when it copies
// the record. The number is far from those that Kafka assigns.
const indexTag = 10_053

// snapshotBatchBytes is the size at which a batch of a snapshot is closed.
const snapshotBatchBytes = 1 << 20

// writeSnapshot writes a snapshot and makes it durable. A file with the final
// name is always complete:
//
//  1. write ID.checkpoint.part: a control batch with SnapshotHeader and, unless
//     the voters are static, KRaftVersion and KRaftVoters, the records in data batches, a control batch with
//     SnapshotFooter; all in the snapshot's epoch, with offsets from 0
//  2. sync it
//  3. rename it
//  4. sync the folder
func writeSnapshot(fsys vfs.FS, folder string, m snapshotMeta, nowMs int64, records iter.Seq[metadata.Message]) error {
	temp := filepath.Join(folder, m.id.String()+partialSuffix)
	f, err := fsys.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	w := &snapshotWriter{file: f, epoch: m.id.Epoch, nowMs: nowMs}
	err = w.write(&m, records)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = fsys.Remove(temp) // best effort: the first error is reported
		return err
	}
	return publishSnapshot(fsys, folder, temp, m.id)
}

// publishSnapshot gives a synced file its final name.
func publishSnapshot(fsys vfs.FS, folder, temp string, id SnapshotID) error {
	if err := fsys.Rename(temp, id.file(folder)); err != nil {
		return err
	}
	return fsys.SyncDir(folder)
}

type snapshotWriter struct {
	file  vfs.File
	epoch int32
	nowMs int64
	pos   int64
	next  int64 // offset of the next record in the file
}

func (w *snapshotWriter) write(m *snapshotMeta, records iter.Seq[metadata.Message]) error {
	head := w.builder()
	header := metadata.SnapshotHeaderRecord{
		LastContainedLogTimestamp: m.timestamp,
		UnknownTags:               []metadata.Tag{{Number: indexTag, Value: binary.BigEndian.AppendUint64(nil, m.index)}},
	}
	head.AppendControl(w.nowMs, record.ControlSnapshotHeader, header.AppendTo(nil, 0))
	if !m.static {
		version := metadata.KRaftVersionRecord{KRaftVersion: maxKRaftVersion}
		head.AppendControl(w.nowMs, record.ControlKRaftVersion, version.AppendTo(nil, 0))
		head.AppendControl(w.nowMs, record.ControlKRaftVoters, m.voters.AppendTo(nil, 0))
	}
	if err := w.flush(head); err != nil {
		return err
	}
	if err := w.data(records); err != nil {
		return err
	}
	foot := w.builder()
	foot.AppendControl(w.nowMs, record.ControlSnapshotFooter, (&metadata.SnapshotFooterRecord{}).AppendTo(nil, 0))
	return w.flush(foot)
}

// data writes the records. The first record is the metadata.version, which
// determines the versions of all.
func (w *snapshotWriter) data(records iter.Seq[metadata.Message]) error {
	b := w.builder()
	var value []byte
	level := metadata.CurrentLevel
	for m := range records {
		level = metadata.LevelAfter(level, m)
		value = metadata.AppendValueAt(value[:0], m, level)
		if b.Count() > 0 && b.Size()+len(value) > snapshotBatchBytes {
			if err := w.flush(b); err != nil {
				return err
			}
			b = w.builder()
		}
		b.Append(w.nowMs, nil, value)
	}
	if b.Count() == 0 {
		return nil
	}
	return w.flush(b)
}

func (w *snapshotWriter) builder() *record.Builder {
	return record.NewBuilder(record.BuilderOptions{BaseOffset: w.next, LeaderEpoch: w.epoch})
}

func (w *snapshotWriter) flush(b *record.Builder) error {
	batch, err := b.Build()
	if err != nil {
		return err
	}
	if _, err := w.file.WriteAt(batch, w.pos); err != nil {
		return err
	}
	w.pos += int64(len(batch))
	w.next = batch.NextOffset()
	return nil
}

// snapshot is a snapshot in memory.
type snapshot struct {
	snapshotMeta
	// anchored is true if the file contains raft's index: it was written by
	// Ottla, not by Kafka.
	anchored bool
	records  []metadata.Message
}

// loadSnapshot reads and checks a snapshot: every checksum, the header first,
// the footer last. Invalid content is a *CorruptError.
func loadSnapshot(fsys vfs.FS, folder string, id SnapshotID, codecs *record.Codecs) (*snapshot, error) {
	file := id.file(folder)
	data, err := vfs.ReadFile(fsys, file)
	if err != nil {
		return nil, err
	}
	s, pos, err := parseSnapshot(id, data, codecs)
	if err != nil {
		return nil, &CorruptError{File: file, Offset: -1, Pos: int64(pos), Reason: err.Error()}
	}
	return s, nil
}

// parseSnapshot reads the content of a snapshot. A snapshot with static voters
// contains none, and its voters are nil. With an error it returns the position
// of the invalid batch.
func parseSnapshot(id SnapshotID, data []byte, codecs *record.Codecs) (*snapshot, int, error) {
	s := &snapshot{snapshotMeta: snapshotMeta{id: id}}
	r := snapshotReader{snapshot: s, codecs: codecs}
	rest := data
	for len(rest) > 0 {
		pos := len(data) - len(rest)
		var batch record.Batch
		var err error
		if batch, rest, err = record.Next(rest); err != nil {
			return nil, pos, err
		}
		if err := r.take(batch); err != nil {
			return nil, pos, err
		}
	}
	if !r.ended {
		return nil, len(data), errors.New("the footer is missing")
	}
	s.static = r.kraft == 0
	if s.static != (s.voters == nil) {
		return nil, len(data), fmt.Errorf("kraft.version %d, but the voters are there: %t", r.kraft, s.voters != nil)
	}
	return s, 0, nil
}

// snapshotReader is the state between two batches.
type snapshotReader struct {
	snapshot *snapshot
	codecs   *record.Codecs
	begun    bool
	ended    bool
	next     int64
	kraft    int16 // kraft.version
}

func (r *snapshotReader) take(batch record.Batch) error {
	if err := checkBatch(batch); err != nil {
		return err
	}
	switch {
	case r.ended:
		return errors.New("a batch follows the footer")
	case batch.BaseOffset() != r.next:
		return fmt.Errorf("the batch has the offset %d, %d is next", batch.BaseOffset(), r.next)
	case batch.LeaderEpoch() != r.snapshot.id.Epoch:
		return fmt.Errorf("the batch has the epoch %d", batch.LeaderEpoch())
	case !r.begun && !batch.IsControl():
		return errors.New("the header is missing")
	}
	r.next = batch.NextOffset()
	if batch.IsControl() {
		return controlRecords(batch, r.control)
	}
	var err error
	r.snapshot.records, err = dataRecords(r.snapshot.records, batch, r.codecs)
	return err
}

// control processes a control record. The header must be the first.
func (r *snapshotReader) control(t record.ControlType, value []byte) error {
	if r.ended || r.begun == (t == record.ControlSnapshotHeader) {
		return fmt.Errorf("%s is out of place", t)
	}
	r.begun = true
	switch t {
	case record.ControlSnapshotHeader:
		return r.header(value)
	case record.ControlKRaftVersion:
		m := &metadata.KRaftVersionRecord{}
		if err := m.Parse(value, 0); err != nil {
			return err
		}
		if m.KRaftVersion < 0 || m.KRaftVersion > maxKRaftVersion {
			return fmt.Errorf("kraft.version %d is not served", m.KRaftVersion)
		}
		r.kraft = m.KRaftVersion
	case record.ControlKRaftVoters:
		r.snapshot.voters = &metadata.VotersRecord{}
		if err := r.snapshot.voters.Parse(value, 0); err != nil {
			return err
		}
		return checkVoters(r.snapshot.voters)
	case record.ControlSnapshotFooter:
		r.ended = true
		return (&metadata.SnapshotFooterRecord{}).Parse(value, 0)
	default:
		return fmt.Errorf("%s does not belong in a snapshot", t)
	}
	return nil
}

func (r *snapshotReader) header(value []byte) error {
	m := &metadata.SnapshotHeaderRecord{}
	if err := m.Parse(value, 0); err != nil {
		return err
	}
	r.snapshot.timestamp = m.LastContainedLogTimestamp
	for _, tag := range m.UnknownTags {
		if tag.Number == indexTag && len(tag.Value) == 8 {
			r.snapshot.index = binary.BigEndian.Uint64(tag.Value)
			r.snapshot.anchored = true
		}
	}
	return nil
}
