package monitoring

import (
	"context"
	"time"

	"ottla/internal/metadata"
)

// The bounds of what a scrape looks up in logs.
const (
	lookUpsMost    = 10_000
	lookUpsTimeout = 500 * time.Millisecond
)

// lagTimes knows since when records wait for groups: the timestamp of the first
// record that a group has not read. It is exact, and costs little:
//
//  1. What was found is kept for as long as somebody asks for it: for the same
//     partition of the same topic, which its name alone does not say, in the same
//     leader epoch, from the same offset. A group that stands still costs nothing,
//     and groups at the same place are one.
//  2. What is not known is looked up in the log, by its index: one batch. A scrape
//     looks up lookUpsMost at most, and stops after lookUpsTimeout; what is left
//     has no figure this time, and comes first the next time.
//  3. What is not asked for any more is forgotten. So no more is kept than one
//     scrape has of partitions.
//
// A log that is compacted may lose the record that was found; so what is found
// there is never kept. One goroutine at a time may use it.
//
// Rejected: to interpolate between offsets that were seen at known times, as an
// exporter outside must. It is wrong whenever producers pause, and knows nothing
// after a restart.
type lagTimes struct {
	known map[place]int64
	next  int // which of those to be looked up is the first
}

// place is where a group goes on to read.
type place struct {
	topic     metadata.UUID
	partition int32
	epoch     int32
	from      int64
}

// The values of GroupLag.since that are no timestamp in ms.
const (
	sinceUnknown int64 = -1
	sinceNothing int64 = -2 // nothing waits
)

// fill sets since of every partition of the groups. Once ctx is done nothing is
// looked up any more. firstRecord is Node.FirstRecord.
func (t *lagTimes) fill(ctx context.Context, groups []Group, firstRecord func(topic string, partition int32, from, end int64) (timestamp int64, found bool, err error)) {
	known := make(map[place]int64, len(t.known))
	var missing []*GroupLag
	for _, g := range groups {
		for i := range g.Partitions {
			l := &g.Partitions[i]
			switch since, ok := t.known[l.place()]; {
			case l.End < 0:
				l.since = sinceUnknown
			case l.Committed >= l.End:
				l.since = sinceNothing
			case ok && !l.Compacted:
				l.since, known[l.place()] = since, since
			default:
				l.since, missing = sinceUnknown, append(missing, l)
			}
		}
	}
	t.known = known
	first, done := t.next, 0
	for ; done < min(len(missing), lookUpsMost) && ctx.Err() == nil; done++ {
		t.lookUp(missing[(first+done)%len(missing)], firstRecord)
	}
	if t.next = 0; done < len(missing) {
		t.next = (first + done) % len(missing)
	}
}

// lookUp sets since of one partition, from the log unless another group has just
// asked for the same.
func (t *lagTimes) lookUp(l *GroupLag, firstRecord func(string, int32, int64, int64) (int64, bool, error)) {
	if since, ok := t.known[l.place()]; ok {
		l.since = since
		return
	}
	timestamp, found, err := firstRecord(l.Topic, l.Partition, l.from(), l.End)
	switch {
	case err != nil || found && timestamp < 0:
		return
	case !found:
		l.since = sinceNothing // control records alone; a record may follow
		return
	}
	l.since = timestamp
	if !l.Compacted {
		t.known[l.place()] = timestamp
	}
}

// from is the offset at which the group goes on: what retention removed is lost
// to it.
func (l *GroupLag) from() int64 { return max(l.Committed, l.Start) }

func (l *GroupLag) place() place { return place{l.TopicID, l.Partition, l.Epoch, l.from()} }

// seconds is how long the first record that was not read has waited; false when
// that is not known.
func (l *GroupLag) seconds(now time.Time) (float64, bool) {
	switch l.since {
	case sinceUnknown:
		return 0, false
	case sinceNothing:
		return 0, true
	}
	return max(0, float64(now.UnixMilli()-l.since)/1000), true
}
