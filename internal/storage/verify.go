package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// Problem is something on disk that breaks an invariant.
type Problem struct {
	// File is the path of the file, or of the folder.
	File string
	// Invariant is the number in the list of invariants, such as P9; empty for
	// a file that cannot be read as what it is.
	Invariant string
	// Segment is the base offset of the segment, Offset the record or batch,
	// Pos the byte in the file; -1 where it means nothing.
	Segment, Offset, Pos int64
	Message              string
}

// String is one line for a person.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Pos >= 0 {
		fmt.Fprintf(&b, " at byte %d", p.Pos)
	}
	if p.Offset >= 0 {
		fmt.Fprintf(&b, " (offset %d)", p.Offset)
	}
	b.WriteString(": " + p.Message)
	if p.Invariant != "" {
		b.WriteString(" [" + p.Invariant + "]")
	}
	return b.String()
}

// VerifyOptions say what Verify looks at.
type VerifyOptions struct {
	FS     vfs.FS
	Codecs *record.Codecs
	// Headers skips the records inside the batches: CRC and headers are checked
	// all the same.
	Headers bool
	// Limit is after how many problems Verify stops; 0: 1,000.
	Limit int
}

const defaultProblems = 1000

// Verify checks every invariant of a log dir, or of a single partition's
// folder, of a stopped node, Ottla's or Kafka's, and changes nothing. What only
// holds after a clean stop (indexes without padding, checkpoints within the
// log) is checked only then. The error is one of the file system; damage is a
// Problem.
//
//	batches     P2 ascending offsets, P4 leader epochs, P5 CRC, P6 offset
//	            deltas, P8 largest timestamp
//	segments    P12: none is missing
//	indexes     P9: every entry leads to what it says, and none is missing at
//	            the end
//	producers   every snapshot can be read and is what the batches make of the
//	            one before it; aborted transactions likewise (T11)
//	epochs      P4: strictly ascending, and those of the batches
//	checkpoints P1: start, recovery point, high watermark and the end of what is
//	            compacted lie in the log; after a clean stop the recovery point
//	            is its end, and the first leader epoch begins at its start
//
// Of a compacted log less can be told: a snapshot may know of batches that are
// gone, and a transaction index of transactions without records. The folder of
// the metadata log is checked as any other log; what else is in it is package
// raft's.
func Verify(dir string, o VerifyOptions) ([]Problem, error) {
	if o.Limit == 0 {
		o.Limit = defaultProblems
	}
	v := &verifier{VerifyOptions: o, buf: make([]byte, scanBytes)}
	err := v.dir(dir)
	if errors.Is(err, errEnoughProblems) {
		err = nil
	}
	return v.problems, err
}

var errEnoughProblems = errors.New("enough problems")

type verifier struct {
	VerifyOptions
	buf      []byte
	problems []Problem
	// clean tells that the dir was stopped cleanly.
	clean bool
}

// report adds a problem; its error ends the walk when there are enough.
func (v *verifier) report(p Problem) error {
	v.problems = append(v.problems, p)
	if len(v.problems) >= v.Limit {
		return errEnoughProblems
	}
	return nil
}

// dir verifies a log dir, or the one partition that it is.
func (v *verifier) dir(path string) error {
	if _, _, ok := parsePartitionDir(filepath.Base(path)); ok {
		if _, err := v.FS.Stat(filepath.Join(path, metaName)); errors.Is(err, fs.ErrNotExist) {
			_, err := v.partition(path, false)
			return err
		}
	}
	if err := v.identity(path); err != nil {
		return err
	}
	entries, err := v.FS.ReadDir(path)
	if err != nil {
		return err
	}
	logs := make(map[partitionKey]extent)
	for _, e := range entries {
		topic, partition, ok := parsePartitionDir(e.Name())
		if !e.IsDir() || !ok {
			continue
		}
		// The metadata log is not under the marker: raft opens and closes it.
		found, err := v.partition(filepath.Join(path, e.Name()), v.clean && topic != metadataTopic)
		if err != nil {
			return err
		}
		if topic != metadataTopic {
			logs[partitionKey{topic, partition}] = found
		}
	}
	return v.checkpoints(path, logs)
}

// identity verifies meta.properties and the marker of a clean stop, whose
// content is empty or JSON.
func (v *verifier) identity(path string) error {
	name := filepath.Join(path, cleanName)
	data, err := vfs.ReadFile(v.FS, name)
	if ignoreMissing(err) != nil {
		return err
	}
	v.clean = err == nil
	if stop := (cleanStop{Version: -1, BrokerEpoch: math.MinInt64}); len(data) > 0 {
		err := json.Unmarshal(data, &stop)
		if err == nil && (stop.Version != 0 || stop.BrokerEpoch < -1) {
			err = fmt.Errorf("version is %d, brokerEpoch %d", stop.Version, stop.BrokerEpoch)
		}
		if err != nil {
			if err := v.report(Problem{File: name, Segment: -1, Offset: -1, Pos: -1, Message: err.Error()}); err != nil {
				return err
			}
		}
	}
	name = filepath.Join(path, metaName)
	meta, err := ReadMetaProperties(v.FS, path)
	switch {
	case err != nil:
		return v.unreadable(name, err)
	case meta.DirectoryID == [16]byte{}:
		return v.report(Problem{File: name, Segment: -1, Offset: -1, Pos: -1, Message: "directory.id is missing"})
	}
	return nil
}

// extent is from where to where a log reaches, and at which offset its first
// leader epoch begins, -1 if it has none. That of a compacted log may lie behind
// its start: the batches between are gone.
type extent struct {
	first, end, epochStart int64
	compacted              bool
}

// topicID verifies partition.metadata, which only folders from before topic ids
// lack. A crash may leave it empty or cut, which the broker puts right once the
// cluster tells it the id.
func (v *verifier) topicID(path string) error {
	name := filepath.Join(path, partitionName)
	data, err := vfs.ReadFile(v.FS, name)
	whole := len(encodePartitionMetadata([16]byte{}))
	if err != nil || len(bytes.Trim(data, "\x00")) < whole {
		return ignoreMissing(err)
	}
	if _, err := decodePartitionMetadata(data); err != nil {
		return v.report(Problem{File: name, Segment: -1, Offset: -1, Pos: -1, Message: err.Error()})
	}
	return nil
}

// unreadable reports what made a small file useless, and returns errors of the
// file system. A missing file is a problem too.
func (v *verifier) unreadable(name string, err error) error {
	var corrupt *CorruptError
	switch {
	case errors.As(err, &corrupt):
		return v.report(Problem{File: name, Segment: -1, Offset: -1, Pos: -1, Message: corrupt.Reason})
	case errors.Is(err, fs.ErrNotExist):
		return v.report(Problem{File: name, Segment: -1, Offset: -1, Pos: -1, Message: "it is missing"})
	}
	return err
}

// checkpoints verifies those of a dir that speak of its logs' offsets.
func (v *verifier) checkpoints(path string, logs map[partitionKey]extent) error {
	for _, c := range []struct {
		name, what string
	}{{recoveryName, "recovery point"}, {startName, "start"}, {replicationName, "high watermark"}, {cleanerName, "end of the compacted part"}} {
		name := filepath.Join(path, c.name)
		offsets, err := readOffsets(v.FS, name)
		if err != nil {
			if err := v.unreadable(name, err); err != nil {
				return err
			}
			continue
		}
		if !v.clean {
			continue // a crash may leave them behind or ahead
		}
		if offsets == nil {
			offsets = make(map[partitionKey]int64)
		}
		for key := range logs {
			if c.name == recoveryName {
				offsets[key] += 0 // a missing line is a point of 0
			}
		}
		for key, offset := range offsets {
			log, ok := logs[key]
			why := "there is no folder of that partition"
			if ok {
				why = log.unlike(c.name, c.what, offset)
			}
			if why == "" {
				continue
			}
			err := v.report(Problem{File: name, Invariant: "P1", Segment: -1, Offset: offset, Pos: -1,
				Message: fmt.Sprintf("%s-%d: %s", key.topic, key.partition, why)})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// unlike says why a log that was closed cleanly cannot have the offset that a
// checkpoint says.
func (e extent) unlike(checkpoint, what string, offset int64) string {
	switch {
	case offset < 0 || offset > e.end:
		return fmt.Sprintf("the %s is not within the log, which ends at %d", what, e.end)
	case checkpoint == recoveryName && offset != e.end:
		return fmt.Sprintf("the recovery point is not the end of the log, %d, although it was closed", e.end)
	case checkpoint == startName && e.epochStart >= 0 && e.epochStart != offset && (!e.compacted || offset > e.epochStart):
		return fmt.Sprintf("the start is not where the first leader epoch begins, %d", e.epochStart)
	}
	return ""
}

// partitionCheck is the verification of one partition's folder: a fold over
// its batches, compared with everything beside them.
type partitionCheck struct {
	*verifier
	path   string
	clean  bool // it was closed, not abandoned
	log    *Log // never opened: its folder's list of segments and epochs
	folder folder

	end       int64
	epoch     int32
	producers producers
	// known tells that the fold of the producers began at the log's begin or
	// with a snapshot.
	known   bool
	aborted []abortedTxn // in the current segment
	// compacted tells that something is missing between the batches so far, or
	// in one: then the fold of what is left may say less than was there.
	compacted bool
	gaps      []span // of offsets, between segments
	// left are the producers of which records of the open transaction are there.
	// abortMarkers are those of the current segment, by offset: what they end.
	left         map[int64]bool
	abortMarkers map[int64]endedTxn
}

// endedTxn is what an ABORT marker ends: a producer's transaction, and whether
// records of it are there.
type endedTxn struct {
	producerID int64
	records    bool
}

// partition verifies one folder, which was closed cleanly or not, and returns
// from where to where it reaches.
func (v *verifier) partition(path string, clean bool) (extent, error) {
	f, err := listFolder(v.FS, path)
	if err != nil {
		return extent{}, err
	}
	e := newEnv(&env{fs: v.FS, log: slog.New(slog.DiscardHandler), codecs: v.Codecs}, 0, 0, 0)
	e.now = nil // the clock is asked by nothing that is used here
	p := &partitionCheck{verifier: v, path: path, clean: clean, folder: f, epoch: NoEpoch, left: make(map[int64]bool)}
	p.log = &Log{env: e, dir: &dir{env: e, path: path}, path: path}
	p.producers.reset()
	if err := v.topicID(path); err != nil || len(f.bases) == 0 {
		return extent{epochStart: -1}, err
	}
	if err := p.readEpochs(); err != nil {
		return extent{}, err
	}
	p.end = f.bases[0]
	for i, base := range f.bases {
		if err := p.segment(base, i == len(f.bases)-1); err != nil {
			return extent{}, err
		}
	}
	if err := p.missing(); err != nil {
		return extent{}, err
	}
	reach := extent{first: f.bases[0], end: p.end, epochStart: -1, compacted: p.compacted}
	if list := p.log.epochs.entries; len(list) > 0 {
		reach.epochStart = list[0].start
		if last := list[len(list)-1]; clean && last.start > p.end {
			err := p.report(Problem{File: p.log.epochsPath(), Invariant: "P4", Segment: -1, Offset: last.start, Pos: -1,
				Message: fmt.Sprintf("epoch %d begins behind the end of the log, %d", last.epoch, p.end)})
			if err != nil {
				return extent{}, err
			}
		}
	}
	return reach, p.snapshot(p.end)
}

// missing reports segments that are not there: between others, or, after a clean
// stop, before the first one. Of a compacted log that cannot be told.
func (p *partitionCheck) missing() error {
	if p.compacted {
		return nil
	}
	for _, gap := range p.gaps {
		err := p.report(Problem{File: p.path, Invariant: "P12", Segment: -1, Offset: gap.from, Pos: -1,
			Message: fmt.Sprintf("the offsets from %d to %d are missing before the next segment", gap.from, gap.to-1)})
		if err != nil {
			return err
		}
	}
	list, first := p.log.epochs.entries, p.folder.bases[0]
	if !p.clean || len(list) == 0 || list[0].start >= first {
		return nil
	}
	return p.report(Problem{File: p.path, Invariant: "P12", Segment: -1, Offset: list[0].start, Pos: -1,
		Message: fmt.Sprintf("the log began at offset %d, but its first segment begins at %d", list[0].start, first)})
}

// readEpochs reads the leader epoch checkpoint, whose entries must ascend.
func (p *partitionCheck) readEpochs() error {
	name := filepath.Join(p.path, epochsName)
	data, err := vfs.ReadFile(p.FS, name)
	if err != nil {
		if !p.clean && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return p.unreadable(name, err)
	}
	list, err := decodeEpochs(data)
	if err != nil {
		return p.report(Problem{File: name, Segment: -1, Offset: -1, Pos: -1, Message: err.Error()})
	}
	for i := 1; i < len(list); i++ {
		if list[i].epoch <= list[i-1].epoch || list[i].start <= list[i-1].start {
			return p.report(Problem{File: name, Invariant: "P4", Segment: -1, Offset: list[i].start, Pos: -1,
				Message: fmt.Sprintf("epoch %d at %d follows epoch %d at %d", list[i].epoch, list[i].start, list[i-1].epoch, list[i-1].start)})
		}
	}
	p.log.epochs.entries = list
	return nil
}

// snapshot compares the producer snapshot at an offset, if there is one, with
// the fold of the batches up to there.
func (p *partitionCheck) snapshot(offset int64) error {
	if !slices.Contains(p.folder.snapshots, offset) {
		return nil
	}
	name := p.log.snapshotPath(offset)
	data, err := vfs.ReadFile(p.FS, name)
	if err != nil {
		return p.unreadable(name, err)
	}
	list, why := decodeSnapshot(data)
	if why != "" {
		return p.report(Problem{File: name, Segment: -1, Offset: offset, Pos: -1, Message: why})
	}
	if p.known {
		return p.compareProducers(name, offset, list)
	}
	for _, producer := range list {
		p.producers.load(producer)
	}
	p.known = true
	return nil
}

// compareProducers finds producers whose entry differs from the fold. One that
// is missing on either side may have expired. Where batches were compacted away
// the snapshot may know more than the fold, never less, and the fold goes on
// with what it says.
func (p *partitionCheck) compareProducers(name string, offset int64, list []producer) error {
	for _, found := range list {
		want := p.producers.byID[found.id]
		if want == nil {
			continue
		}
		last, _ := want.last()
		foundLast, _ := found.last()
		same := found.epoch == want.epoch && last.lastSeq == foundLast.lastSeq && last.lastOffset == foundLast.lastOffset &&
			found.coordinatorEpoch == want.coordinatorEpoch && found.txnFirst == want.txnFirst
		if same || p.compacted && found.knowsMore(want) {
			continue
		}
		err := p.report(Problem{File: name, Invariant: "T3", Segment: -1, Offset: offset, Pos: -1, Message: fmt.Sprintf(
			"producer %d has epoch %d, sequence %d, offset %d, transaction %d; the batches say %d, %d, %d, %d",
			found.id, found.epoch, foundLast.lastSeq, foundLast.lastOffset, found.txnFirst, want.epoch, last.lastSeq, last.lastOffset, want.txnFirst)})
		if err != nil {
			return err
		}
	}
	if p.compacted {
		p.producers.reset()
		for _, producer := range list {
			p.producers.load(producer)
		}
	}
	return nil
}

// knowsMore tells whether p can be the state that x is of, when x was made of
// what compaction left of the batches.
func (p *producer) knowsMore(x *producer) bool {
	last, _ := p.last()
	less, _ := x.last()
	behind := p.epoch < x.epoch || p.epoch == x.epoch && last.lastOffset < less.lastOffset
	opened := x.txnFirst == noOffset || p.txnFirst != noOffset && p.txnFirst <= x.txnFirst
	return !behind && opened && p.coordinatorEpoch >= x.coordinatorEpoch
}
