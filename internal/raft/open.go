package raft

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/internal/config"
	"ottla/internal/storage"
)

// Kafka's defaults of metadata.log.segment.bytes and .ms.
const (
	defaultSegmentBytes = 1 << 30
	defaultSegmentAge   = 7 * 24 * time.Hour
)

// metadataTopicID is the id of the topic __cluster_metadata in every cluster.
var metadataTopicID = [16]byte{15: 1}

// openStore opens the folder of the metadata log, or creates it:
//
//  1. Read quorum-state, list the snapshots, scan the log.
//  2. In an empty folder write the first snapshot, 0-0, with the voters. A
//     Kafka folder whose voters are static, or were static at first, has no
//     such snapshot and gets none.
//  3. Take the newest intact snapshot. If a newer one is damaged, the log must
//     reach back to the older one; then nothing is lost.
//  4. Find the snapshot's end in the log; it determines the index of every
//     entry. A snapshot that is ahead of the log, or does not fit it, came from
//     the leader before a crash: the log is emptied and begins at the
//     snapshot's end. With a single voter there is no other leader, so this is
//     corruption.
//  5. Cut a tail that a power loss tore. Damage that a power loss cannot cause
//     is corruption.
//  6. Open the log, which syncs it (its tail may be in the page cache only), and
//     remove leftovers.
//
// The records of the snapshot are returned for the owner.
func openStore(o *Options, open func(storage.LogOptions) (segmentLog, error)) (*store, *snapshot, error) {
	s := &store{fs: o.FS, folder: filepath.Join(o.Dir, TopicPartition), logger: o.Log, codecs: o.Codecs}
	if err := s.fs.MkdirAll(s.folder, 0o755); err != nil {
		return nil, nil, err
	}
	if err := s.fs.SyncDir(o.Dir); err != nil {
		return nil, nil, err
	}
	l := &loading{store: s, options: o, self: ReplicaKey{o.NodeID, o.DirectoryID}}
	if err := l.read(); err != nil {
		return nil, nil, err
	}
	if err := l.choose(); err != nil {
		return nil, nil, err
	}
	if err := l.checkVoter(); err != nil {
		return nil, nil, err
	}
	if err := l.place(); err != nil {
		return nil, nil, err
	}
	if err := l.checkVote(); err != nil {
		return nil, nil, err
	}
	if err := l.open(open); err != nil {
		return nil, nil, err
	}
	return s, l.snapshot, nil
}

// loading is the state of openStore.
type loading struct {
	*store
	options   *Options
	self      ReplicaKey
	ids       []SnapshotID // oldest first
	leftovers []string
	scan      *logScan
	snapshot  *snapshot
	reset     bool // the log is emptied and begins after the snapshot
	static    bool // neither snapshot nor log contains the voters
}

func (l *loading) read() error {
	var err error
	if l.vote, err = openQuorumState(l.fs, l.folder); err != nil {
		return err
	}
	if l.ids, l.leftovers, err = listSnapshots(l.fs, l.folder); err != nil {
		return err
	}
	maxEpoch := int32(math.MaxInt32)
	if l.vote.found {
		maxEpoch = l.vote.epoch
	}
	if l.scan, err = scanLog(l.fs, l.folder, maxEpoch); err != nil {
		return err
	}
	if len(l.ids) > 0 {
		return nil
	}
	fresh := !l.vote.found && l.scan.end() == 0 && l.scan.torn == nil
	switch {
	case l.scan.index.before.offset == 0 && (l.vote.static || len(l.scan.voters) > 0):
		return nil // the log has everything
	case fresh && l.options.Static:
		l.vote.static = true
		return nil
	case !fresh:
		return &CorruptError{File: l.folder, Offset: -1, Reason: "there is a log but no snapshot (*.checkpoint), not even the first one with the voters"}
	}
	return l.format()
}

// format writes the first snapshot.
func (l *loading) format() error {
	voters := newVoters(l.options)
	if err := checkVoters(voters); err != nil {
		return err
	}
	if l.options.inspect {
		l.snapshot = &snapshot{snapshotMeta: snapshotMeta{voters: voters}}
		return nil
	}
	now := l.options.Now().UnixMilli()
	m := snapshotMeta{timestamp: now, voters: voters}
	l.ids = []SnapshotID{m.id}
	return writeSnapshot(l.fs, l.folder, m, now, noRecords)
}

// choose loads the newest intact snapshot. With static voters there may be none
// yet; the log then begins at offset 0.
func (l *loading) choose() error {
	if l.snapshot != nil {
		return nil // format would write it
	}
	if len(l.ids) == 0 {
		l.snapshot = &snapshot{snapshotMeta: snapshotMeta{static: true}}
		return l.imply()
	}
	if err := l.load(); err != nil {
		return err
	}
	return l.imply()
}

// imply adds the voters to a snapshot with static voters: this node. The log
// may contain recorded voters since then.
func (l *loading) imply() error {
	l.static = l.snapshot.static && len(l.scan.voters) == 0
	if l.vote.voted && l.vote.vote == (ReplicaKey{NodeID: l.self.NodeID}) {
		l.vote.vote = l.self // kraft.version 0 knows voters by their node id
	}
	if l.vote.static != l.static {
		l.vote.static, l.vote.listed = l.static, nil
	}
	if !l.snapshot.static {
		return nil
	}
	for _, id := range l.vote.listed {
		if id != l.self.NodeID {
			return fmt.Errorf("%w: %s lists the voters %v (controller.quorum.voters), and only a quorum of this node alone, %d, can be served", ErrNotVoter, l.vote.file, l.vote.listed, l.self.NodeID)
		}
	}
	l.vote.listed = []int32{l.self.NodeID}
	l.snapshot.voters = newVoters(l.options)
	return nil
}

// load loads the newest intact snapshot.
func (l *loading) load() error {
	var corrupt *CorruptError
	for i, id := range slices.Backward(l.ids) {
		snap, err := loadSnapshot(l.fs, l.folder, id, l.codecs)
		if err == nil {
			l.snapshot = snap
			return l.mayFallBack(i, corrupt)
		}
		var c *CorruptError
		if !errors.As(err, &c) {
			return err
		}
		if corrupt == nil {
			corrupt = c
		}
	}
	return corrupt
}

// mayFallBack checks that using an older snapshot instead of the corrupt newest
// one loses nothing: the log must hold everything from the end of the older one
// to the end of the newest one.
func (l *loading) mayFallBack(chosen int, corrupt *CorruptError) error {
	if corrupt == nil {
		return nil
	}
	newest := l.ids[len(l.ids)-1]
	_, found := l.scan.index.find(l.ids[chosen].EndOffset)
	if !found || l.scan.end() < newest.EndOffset {
		corrupt.Reason += fmt.Sprintf("; the snapshot %s is whole, but the log does not lead from there to %s", l.ids[chosen], newest)
		return corrupt
	}
	l.logger.Error("a snapshot of the metadata log is corrupt; an older one and the log hold the same", "error", corrupt, "snapshot", l.ids[chosen].String())
	return nil
}

// place finds the snapshot's end in the log and assigns the indexes of the
// entries.
func (l *loading) place() error {
	snap, x := l.snapshot, &l.scan.index
	sole := soleVoter(snap.voters, l.self)
	if !snap.anchored {
		if !sole {
			return &CorruptError{File: snap.id.file(l.folder), Offset: -1, Reason: "written by Kafka: with several voters their indexes would differ"}
		}
		// With one voter any numbering is valid, if no index is below 1.
		snap.index = uint64(snap.id.EndOffset)
	}
	if snap.id.EndOffset < x.before.offset {
		return &CorruptError{File: l.scan.segments[0].path, Offset: snap.id.EndOffset,
			Reason: fmt.Sprintf("the log begins at offset %d, but the snapshot ends at %d", x.before.offset, snap.id.EndOffset)}
	}
	at, found := x.find(snap.id.EndOffset)
	first := found && at.index == 0 // the log holds neither the entry before nor its term
	if torn := l.scan.torn; torn != nil && (l.scan.proof != "" || !found && sole) {
		torn.Reason += "; the log cannot be cut here: " + l.proofOfLoss()
		return torn
	}
	if found && (first || at.term == snap.id.Epoch) && snap.index >= at.index {
		l.scan.shift(snap.index - at.index)
		l.trim()
		return nil
	}
	if sole {
		return &CorruptError{File: snap.id.file(l.folder), Offset: snap.id.EndOffset,
			Reason: fmt.Sprintf("the log [%d, %d) has no batch of epoch %d that ends there", x.before.offset, x.next, snap.id.Epoch)}
	}
	l.reset = true
	return nil
}

func (l *loading) proofOfLoss() string {
	if l.scan.proof != "" {
		return l.scan.proof
	}
	return fmt.Sprintf("the snapshot %s was made of the log", l.snapshot.id)
}

// trim drops the entries before the oldest snapshot from the table. They are
// never sent to another voter, and their terms may not be known.
func (l *loading) trim() {
	x := &l.scan.index
	begin := x.before.index
	for _, id := range l.ids {
		at, found := x.find(id.EndOffset)
		if !found || at.index != begin && at.term != id.Epoch {
			continue // it ends before the log begins and will be removed
		}
		x.dropTo(at.index)
		x.before.term, x.terms[0].term = id.Epoch, id.Epoch
		return
	}
}

// checkVote compares term and vote with the log: both are written before any
// entry of their term.
func (l *loading) checkVote() error {
	epoch, sole := l.snapshot.id.Epoch, soleVoter(l.snapshot.voters, l.self)
	if !l.reset {
		epoch = l.scan.index.lastTerm()
	}
	if l.vote.epoch >= epoch {
		return nil
	}
	if l.reset && !sole && (l.vote.found || l.scan.end() == 0) {
		// The snapshot came from a leader of an epoch that this node never
		// entered, so it did not vote in it. It may not have entered any epoch
		// yet.
		l.vote.epoch, l.vote.voted = epoch, false
		return nil
	}
	return &CorruptError{File: l.vote.file, Offset: -1,
		Reason: fmt.Sprintf("it says epoch %d (0 when it is missing), but the log has epoch %d: a vote may be lost", l.vote.epoch, epoch)}
}

// checkVoter checks that this node is one of the voters.
func (l *loading) checkVoter() error {
	if findVoter(l.snapshot.voters, l.self.RaftID()) == nil {
		return fmt.Errorf("%w: %s is not among the voters of %s", ErrNotVoter, l.self, l.snapshot.id.file(l.folder))
	}
	return nil
}

// open opens the log and finishes the store.
func (l *loading) open(open func(storage.LogOptions) (segmentLog, error)) error {
	l.index = l.scan.index
	l.newest = l.snapshot.snapshotMeta
	l.kraft.Store(maxKRaftVersion)
	if l.static {
		l.kraft.Store(0)
	}
	var err error
	if l.log, err = open(l.logOptions()); err != nil {
		return err
	}
	if err := l.align(); err != nil {
		return errors.Join(err, l.log.Close())
	}
	return nil
}

func (l *loading) logOptions() storage.LogOptions {
	o := l.options
	c := config.Topic{
		SegmentBytes: o.SegmentBytes, SegmentAge: o.SegmentAge,
		SegmentIndexBytes: 10 << 20, IndexIntervalBytes: 4096,
		RetentionBytes: -1, RetentionMs: -1, MaxMessageBytes: MaxBatchBytes,
		Compression: config.Compression{Codec: config.Producer},
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = defaultSegmentBytes
	}
	if c.SegmentAge == 0 {
		c.SegmentAge = defaultSegmentAge
	}
	return storage.LogOptions{
		FS: l.fs, Path: l.folder, TP: storage.TopicPartition{Topic: "__cluster_metadata"},
		Config: c, Now: o.Now, Log: o.Log, Codecs: o.Codecs,
		Start: l.index.before.offset, RecoveryPoint: min(l.snapshot.id.EndOffset, l.scan.end()),
	}
}

// align makes the log on disk match the result of the scan.
func (l *loading) align() error {
	if err := l.log.AssignTopicID(metadataTopicID); err != nil {
		return err
	}
	if l.reset {
		if err := l.restart(&l.snapshot.snapshotMeta); err != nil {
			return err
		}
	} else if err := l.cut(); err != nil {
		return err
	}
	l.log.SetHighWatermark(l.snapshot.id.EndOffset)
	l.initial = &raftpb.HardState{Term: new(uint64(l.vote.epoch)), Vote: new(uint64(0)), Commit: new(l.committed())}
	if l.vote.voted {
		l.initial.Vote = new(l.vote.vote.RaftID())
	}
	return l.keepSnapshots()
}

// cut removes a torn tail, which storage.Log may have done already.
func (l *loading) cut() error {
	end := l.scan.end()
	if torn := l.scan.torn; torn != nil {
		l.logger.Warn("the unsynced end of the metadata log was cut", "file", torn.File, "offset", end, "position", torn.Pos, "reason", torn.Reason)
	}
	if l.log.EndOffset() > end {
		return l.log.TruncateTo(end)
	}
	if l.log.EndOffset() < end {
		return &CorruptError{File: l.folder, Offset: l.log.EndOffset(), Reason: fmt.Sprintf("the log was opened up to that offset, but holds good batches up to %d", end)}
	}
	return nil
}

// committed is the highest index that is known to be committed, see
// InitialState.
func (l *loading) committed() uint64 {
	c := l.snapshot.index
	if n := len(l.scan.voters); n >= 2 && !l.reset {
		c = max(c, l.scan.voters[n-2])
	}
	return c
}

// keepSnapshots lists the snapshots to keep and removes useless files:
// unfinished snapshots, partly removed ones, and those from before the log. A
// corrupt one is kept until retention removes it.
func (l *loading) keepSnapshots() error {
	for _, file := range l.leftovers {
		if err := l.fs.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, id := range l.ids {
		info, err := l.fs.Stat(id.file(l.folder))
		if err != nil {
			return err
		}
		l.snapshots = append(l.snapshots, snapshotFile{id, info.Size()})
	}
	if l.reset {
		return l.removeBefore(l.snapshot.id)
	}
	return l.removeBefore(SnapshotID{EndOffset: l.index.before.offset})
}
