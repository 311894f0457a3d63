package record

import (
	"fmt"
	"math"
)

// walk checks the records of one batch against the rules.
type walk struct {
	batch Batch
	rules *Rules
	in    scanner
	// failed are the records that break a rule of the topic; misdated tells
	// that one of them does so by its timestamp, total counts them all.
	failed   []RecordError
	misdated bool
	total    int
}

// run visits every record once. A record that breaks the format ends the walk,
// one that breaks a rule of the topic does not: all such are reported
// together (KIP-467).
func (w *walk) run() (extent, error) {
	w.in.skim = true
	found := extent{maxTimestamp: NoTimestamp}
	base := w.batch.BaseTimestamp()
	count := w.batch.Count()
	var r Record
	for i := range count {
		if !w.in.record(&r) {
			return found, w.broken(i)
		}
		if r.OffsetDelta != i {
			return found, w.refuse(i, "record %d has the offset delta %d", i, r.OffsetDelta)
		}
		timestamp := base + r.TimestampDelta
		w.checkRules(i, timestamp, w.in.keyNull)
		if timestamp > found.maxTimestamp {
			found = extent{timestamp, i}
		}
	}
	if !w.in.atEnd() {
		if w.in.err != nil {
			return found, w.broken(count)
		}
		return found, invalid(InvalidRecord, "the record batch counts %d records but bytes follow them", count)
	}
	return found, w.verdict()
}

// broken is the error for a record that cannot be read.
func (w *walk) broken(index int32) error {
	if w.in.err != nil {
		return unreadable(w.batch, w.in.err)
	}
	return w.refuse(index, "record %d of %d: %s", index, w.batch.Count(), w.in.why)
}

func (w *walk) refuse(index int32, format string, args ...any) error {
	e := invalid(InvalidRecord, format, args...)
	e.Records = []RecordError{{Index: index, Message: e.Message}}
	return e
}

// checkRules checks what the topic demands of a record.
func (w *walk) checkRules(index int32, timestamp int64, keyNull bool) {
	switch {
	case w.rules.Compacted && keyNull && !w.batch.IsControl():
		w.fail(index, "a compacted topic takes no record without a key")
	case w.rules.TimestampType == LogAppendTime && w.batch.TimestampType() == LogAppendTime:
		w.misdated = true
		w.fail(index, "a producer may not set the timestamp type LogAppendTime")
	case w.rules.TimestampType == LogAppendTime || timestamp == NoTimestamp:
	case w.rules.outOfBounds(timestamp):
		w.misdated = true
		w.fail(index, timestampMessage(timestamp, w.rules))
	}
}

// fail notes a refused record; its message is made by the callers only on
// this path.
func (w *walk) fail(index int32, message string) {
	w.total++
	if len(w.failed) < MaxRecordErrors {
		w.failed = append(w.failed, RecordError{Index: index, Message: message})
	}
}

// verdict is nil when every record passed.
func (w *walk) verdict() error {
	if w.total == 0 {
		return nil
	}
	kind, reason := InvalidRecord, "the topic's rules"
	if w.misdated {
		kind, reason = InvalidTimestamp, "an invalid timestamp"
	}
	e := invalid(kind, "%d of %d records were refused because of %s; the first: %s", w.total, w.batch.Count(), reason, w.failed[0].Message)
	e.Records = w.failed
	return e
}

// outOfBounds tells whether a CreateTime lies too far from now. A distance
// that does not fit 64 bits is too far in any case.
func (r *Rules) outOfBounds(timestamp int64) bool {
	if timestamp <= r.NowMs {
		behind := uint64(r.NowMs) - uint64(timestamp)
		return behind > math.MaxInt64 || int64(behind) > r.BeforeMaxMs
	}
	ahead := uint64(timestamp) - uint64(r.NowMs)
	return ahead > math.MaxInt64 || int64(ahead) > r.AfterMaxMs
}

func timestampMessage(timestamp int64, r *Rules) string {
	return fmt.Sprintf("the timestamp %d is further from the broker's clock %d than message.timestamp.before.max.ms=%d and message.timestamp.after.max.ms=%d allow", timestamp, r.NowMs, r.BeforeMaxMs, r.AfterMaxMs)
}
