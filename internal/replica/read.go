package replica

import (
	"fmt"

	"ottla/internal/storage"
)

// Isolation determines up to which offset a reader may read.
type Isolation int8

// The isolations. The first two are a consumer's isolation.level.
const (
	// ReadUncommitted reads below the high watermark.
	ReadUncommitted Isolation = 0
	// ReadCommitted reads below the last stable offset and gets the list of
	// aborted transactions.
	ReadCommitted Isolation = 1
	// LogEnd reads everything; for replicas.
	LogEnd Isolation = 2
)

// NoEpoch means that a request gives no leader epoch.
const NoEpoch int32 = -1

// Progress is the set of a partition's offsets at one moment: logStart ≤ LSO ≤
// HW ≤ LEO (P1).
type Progress struct {
	LogStart, LastStable, HighWatermark, LogEnd int64
	LeaderEpoch                                 int32
}

// ReadOptions are the options of Read.
type ReadOptions struct {
	Offset int64
	// MaxBytes limits the answer. MinOne allows the first batch to exceed the
	// limit, so that a reader always makes progress.
	MaxBytes  int
	MinOne    bool
	Isolation Isolation
	// CurrentLeaderEpoch is the leader epoch known to the reader, or NoEpoch.
	CurrentLeaderEpoch int32
	// LastFetchedEpoch is the epoch of the record before Offset in a replica's
	// log, or NoEpoch.
	LastFetchedEpoch int32
}

// Read is the result of Partition.Read.
type Read struct {
	Progress
	// Records is a region of the log, empty if there are no records for the
	// reader yet. The caller must release it.
	Records storage.Slice
	// Aborted are the aborted transactions that overlap the region, and
	// possibly a few that begin shortly after it, for ReadCommitted.
	Aborted []storage.AbortedTxn
	// Diverging is set, and Records empty, if the reader's log diverges from
	// this one below Offset. The reader must truncate to Diverging.
	Diverging *EpochEnd
}

// Read returns a region of the log from o.Offset, without copying.
//
// Divergence is checked first: a reader beyond the log end gets Diverging if
// its epoch shows where to truncate. Otherwise an offset below the log start or
// above the log end is storage.ErrOffsetOutOfRange; Progress is set in this
// case, too. An offset above the limit of the isolation, but not above the log
// end, reads nothing yet. If the epoch is not the leader's, the error is
// ErrFencedLeaderEpoch or ErrUnknownLeaderEpoch; if this node does not lead, it
// is ErrNotLeader.
func (p *Partition) Read(o ReadOptions) (Read, error) {
	s, err := p.checkLeader(o.CurrentLeaderEpoch)
	if err != nil {
		return Read{}, err
	}
	r := Read{Progress: p.progress(s.leaderEpoch)}
	if o.LastFetchedEpoch != NoEpoch {
		if r.Diverging, err = p.diverging(o); err != nil || r.Diverging != nil {
			return r, err
		}
	}
	if o.Offset < r.LogStart || o.Offset > r.LogEnd {
		return r, fmt.Errorf("%w: %d is not in [%d, %d] of %s-%d", storage.ErrOffsetOutOfRange, o.Offset, r.LogStart, r.LogEnd, p.tp.Topic, p.tp.Partition)
	}
	limit := r.Limit(o.Isolation)
	if o.Offset >= limit {
		return r, nil
	}
	if o.Isolation == ReadCommitted {
		r.Records, r.Aborted, err = p.log.ReadCommitted(o.Offset, limit, o.MaxBytes, o.MinOne)
		return r, err
	}
	r.Records, err = p.log.Read(o.Offset, limit, o.MaxBytes, o.MinOne)
	return r, err
}

// progress reads the offsets in an order that preserves P1 during concurrent
// appends, flushes and retention: of two growing offsets, the one that must not
// be smaller is read later.
func (p *Partition) progress(epoch int32) Progress {
	r := Progress{LeaderEpoch: epoch}
	r.LogStart = p.log.StartOffset()
	r.HighWatermark = max(p.hw.Load(), r.LogStart)
	r.LastStable = min(max(p.log.LastStableOffset(r.HighWatermark), r.LogStart), r.HighWatermark)
	r.LogEnd = max(p.log.EndOffset(), r.HighWatermark)
	return r
}

// Limit returns the offset below which the isolation may read.
func (r *Progress) Limit(i Isolation) int64 {
	switch i {
	case ReadCommitted:
		return r.LastStable
	case LogEnd:
		return r.LogEnd
	}
	return r.HighWatermark
}

// diverging compares a replica's last epoch with this log (KIP-595).
func (p *Partition) diverging(o ReadOptions) (*EpochEnd, error) {
	epoch, end := p.log.EpochEnd(o.LastFetchedEpoch)
	if epoch < 0 || end < 0 {
		return nil, fmt.Errorf("%w: the end of epoch %d is unknown in %s-%d", storage.ErrOffsetOutOfRange, o.LastFetchedEpoch, p.tp.Topic, p.tp.Partition)
	}
	if epoch < o.LastFetchedEpoch || end < o.Offset {
		return &EpochEnd{LeaderEpoch: epoch, EndOffset: end}, nil
	}
	return nil, nil
}
