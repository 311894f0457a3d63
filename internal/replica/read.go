package replica

import (
	"fmt"

	"ottla/internal/storage"
)

// Isolation is how far a reader may see.
type Isolation int8

// The isolations. The first two are a consumer's isolation.level.
const (
	// ReadUncommitted reads below the high watermark.
	ReadUncommitted Isolation = 0
	// ReadCommitted reads below the last stable offset and is told which
	// transactions were aborted.
	ReadCommitted Isolation = 1
	// LogEnd reads everything: replicas.
	LogEnd Isolation = 2
)

// NoEpoch stands for a leader epoch that a request does not name.
const NoEpoch int32 = -1

// Progress is how far a partition was at one moment: logStart ≤ LSO ≤ HW ≤ LEO
// (P1).
type Progress struct {
	LogStart, LastStable, HighWatermark, LogEnd int64
	LeaderEpoch                                 int32
}

// ReadOptions say what to read.
type ReadOptions struct {
	Offset int64
	// MaxBytes bounds the answer; MinOne lets its first batch exceed that, so
	// that a reader always gets on.
	MaxBytes  int
	MinOne    bool
	Isolation Isolation
	// CurrentLeaderEpoch is the epoch that the reader believes in, or NoEpoch.
	CurrentLeaderEpoch int32
	// LastFetchedEpoch is the epoch of the record before Offset in a replica's
	// log, or NoEpoch.
	LastFetchedEpoch int32
}

// Read is what a reader gets.
type Read struct {
	Progress
	// Records is a region of the log, empty when there is nothing for the
	// reader yet. The caller releases it.
	Records storage.Slice
	// Aborted are the aborted transactions that overlap the region, and perhaps a
	// few that begin shortly after it, for ReadCommitted.
	Aborted []storage.AbortedTxn
	// Diverging is set, and Records empty, when the reader's log parted from
	// this one below Offset: it must truncate to there.
	Diverging *EpochEnd
}

// Read returns a region of the log from o.Offset on, without copying a byte.
//
// Divergence is looked at first: a reader beyond the log end whose epochs tell
// where to truncate is told so. Otherwise an offset below the log start or above
// the log end is storage.ErrOffsetOutOfRange, and Progress is set all the same; one above what
// the isolation shows, but not above the log end, reads nothing yet.
// ErrFencedLeaderEpoch and ErrUnknownLeaderEpoch answer another epoch than the
// leader's, ErrNotLeader a node that does not lead.
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

// progress reads the offsets in an order that keeps P1 although appends,
// flushes and retention go on: what only grows and must not be smaller is read
// later.
func (p *Partition) progress(epoch int32) Progress {
	r := Progress{LeaderEpoch: epoch}
	r.LogStart = p.log.StartOffset()
	r.HighWatermark = max(p.hw.Load(), r.LogStart)
	r.LastStable = min(max(p.log.LastStableOffset(r.HighWatermark), r.LogStart), r.HighWatermark)
	r.LogEnd = max(p.log.EndOffset(), r.HighWatermark)
	return r
}

// Limit is the offset below which the isolation shows records.
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
