package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
//	indexes     P9: every entry leads to what it says, and none is missing at
//	            the end
//	producers   every snapshot can be read and is what the batches make of the
//	            one before it; aborted transactions likewise (T11)
//	epochs      P4: strictly ascending, and those of the batches
//	checkpoints P1: start, recovery point, high watermark and the end of what is
//	            compacted lie in the log
//
// Of a compacted log less can be told: a snapshot may know of batches that are
// gone, and a transaction index of transactions without records.
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
	_, err := v.FS.Stat(filepath.Join(path, cleanName))
	v.clean = err == nil
	if _, err := ReadMetaProperties(v.FS, path); err != nil {
		if err := v.unreadable(filepath.Join(path, metaName), err); err != nil {
			return err
		}
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
		logs[partitionKey{topic, partition}] = found
	}
	return v.checkpoints(path, logs)
}

// extent is from where to where a log reaches.
type extent struct{ first, end int64 }

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
		for key, offset := range offsets {
			log, ok := logs[key]
			if !ok || !v.clean || offset >= 0 && offset <= log.end {
				continue
			}
			err := v.report(Problem{File: name, Invariant: "P1", Segment: -1, Offset: offset, Pos: -1,
				Message: fmt.Sprintf("%s-%d: the %s is not within the log, which ends at %d", key.topic, key.partition, c.what, log.end)})
			if err != nil {
				return err
			}
		}
	}
	return nil
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
	e := newEnv(&env{fs: v.FS, log: slog.New(slog.DiscardHandler), codecs: v.Codecs}, 0, 0)
	e.now = nil // the clock is asked by nothing that is used here
	p := &partitionCheck{verifier: v, path: path, clean: clean, folder: f, epoch: NoEpoch, left: make(map[int64]bool)}
	p.log = &Log{env: e, dir: &dir{env: e, path: path}, path: path}
	p.producers.reset()
	if len(f.bases) == 0 {
		return extent{}, nil
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
	return extent{f.bases[0], p.end}, p.snapshot(p.end)
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
