package interop

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/interop/clients"
)

// View is everything that consumers can see of one partition.
type View struct {
	Start, End, LastStable int64
	// Records are all records (read_uncommitted); Committed are those of
	// read_committed.
	Records, Committed []clients.Record
	// Times contains the answers of ListOffsets by the requested timestamp; -3
	// is the largest timestamp.
	Times map[int64]At
}

// At is an offset and the timestamp of its record.
type At struct{ Offset, Timestamp int64 }

// viewLimit is the limit of one call of Look.
const viewLimit = time.Minute

// Look reads a partition in every way.
func Look(t testing.TB, addr, topic string, partition int32) View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), viewLimit)
	defer cancel()
	v, err := look(ctx, addr, topic, partition)
	if err != nil {
		t.Fatalf("looking at %s-%d: %v", topic, partition, err)
	}
	return v
}

func look(ctx context.Context, addr, topic string, partition int32) (v View, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return v, err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	for of, list := range map[*int64]func(context.Context, ...string) (kadm.ListedOffsets, error){
		&v.Start: admin.ListStartOffsets, &v.End: admin.ListEndOffsets, &v.LastStable: admin.ListCommittedOffsets,
	} {
		at, err := offsetOf(ctx, list, topic, partition)
		if err != nil {
			return v, err
		}
		*of = at.Offset
	}
	if v.Records, err = readTo(ctx, addr, topic, partition, v.Start, v.End, kgo.ReadUncommitted()); err != nil {
		return v, err
	}
	if v.Committed, err = readTo(ctx, addr, topic, partition, v.Start, v.LastStable, kgo.ReadCommitted()); err != nil {
		return v, err
	}
	v.Times = map[int64]At{}
	if v.Times[-3], err = offsetOf(ctx, admin.ListMaxTimestampOffsets, topic, partition); err != nil {
		return v, err
	}
	for _, at := range v.moments() {
		if v.Times[at], err = offsetOf(ctx, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return admin.ListOffsetsAfterMilli(ctx, at, topics...)
		}, topic, partition); err != nil {
			return v, err
		}
	}
	return v, nil
}

// moments returns timestamps before, at, between and after those of the
// records.
func (v View) moments() []int64 {
	const samples = 12
	out := []int64{0}
	for i := 0; i < len(v.Records); i += 1 + len(v.Records)/samples {
		at := v.Records[i].Timestamp
		out = append(out, at-1, at, at+1)
	}
	if n := len(v.Records); n > 0 {
		last := v.Records[n-1].Timestamp
		out = append(out, last, last+1, last+1_000_000)
	}
	return out
}

func offsetOf(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), topic string, partition int32) (At, error) {
	listed, err := list(ctx, topic)
	if err != nil {
		return At{}, err
	}
	o, ok := listed.Lookup(topic, partition)
	if !ok {
		return At{}, fmt.Errorf("no answer about %s-%d", topic, partition)
	}
	return At{o.Offset, o.Timestamp}, o.Err
}

// readTo reads from one offset to another. It skips control records and records
// that the isolation level hides.
func readTo(ctx context.Context, addr, topic string, partition int32, from, to int64, isolation kgo.IsolationLevel) ([]clients.Record, error) {
	if from == to {
		return nil, nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(from)}}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var out []clients.Record
	for next := from; next < to; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return out, fmt.Errorf("after offset %d, up to %d: %w", next-1, to, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				out = append(out, clients.FromFranz(r))
			}
		})
	}
	return out, nil
}

// Diff describes the differences between another view and the wanted one. Times
// are compared for the timestamps in the wanted view.
func (v View) Diff(got View) string {
	var out []string
	add := func(what string, want, got int64) {
		if want != got {
			out = append(out, fmt.Sprintf("%s %d, want %d", what, got, want))
		}
	}
	add("log start offset", v.Start, got.Start)
	add("end offset", v.End, got.End)
	add("last stable offset", v.LastStable, got.LastStable)
	if diff := clients.Diff(v.Records, got.Records); diff != "" {
		out = append(out, "read_uncommitted: "+diff)
	}
	if diff := clients.Diff(v.Committed, got.Committed); diff != "" {
		out = append(out, "read_committed: "+diff)
	}
	for _, at := range slices.Sorted(maps.Keys(v.Times)) {
		if v.Times[at] != got.Times[at] {
			out = append(out, fmt.Sprintf("the offset for time %d is %v, want %v", at, got.Times[at], v.Times[at]))
		}
	}
	return strings.Join(out, "\n")
}
