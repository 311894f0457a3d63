package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// groupLag is how far a group is behind. The sums are over the partitions for
// which it has committed an offset.
type groupLag struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	State      string         `json:"state"`
	Lag        int64          `json:"lag"`         // records
	LagSeconds float64        `json:"lag_seconds"` // of the partition that is furthest behind
	Partitions []partitionLag `json:"partitions"`
	Error      *problem       `json:"error,omitempty"`
}

// partitionLag is the lag of one partition. Null is what is not known: without
// a committed offset there is no lag, as in Kafka's tools.
type partitionLag struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed *int64 `json:"committed"`
	End       *int64 `json:"end"`
	Lag       *int64 `json:"lag"`
	// LagSeconds is the age of the oldest record that is not read yet, by its
	// timestamp; 0 when all are read.
	LagSeconds *float64 `json:"lag_seconds"`
	Member     string   `json:"member"`
	ClientID   string   `json:"client_id"`
	Host       string   `json:"host"`
}

func (a *App) groupLag(l *link) *cobra.Command {
	return &cobra.Command{
		Use:   "lag GROUP…",
		Short: "Show the lag of groups in records and in seconds",
		Long: "Show the lag of groups. LAG is the number of offsets between the committed offset and the\n" +
			"end of the partition. AGE is the age of the oldest unread record, by its timestamp.\n" +
			"Partitions without a committed offset have neither.",
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeGroups(l, 0),
		Example:           example("ottla group lag billing --format json"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.doWith(cmd, firstRecordOptions, func(ctx context.Context, client *kgo.Client) error {
				lags, err := askLags(ctx, client, args, time.Now)
				if err != nil {
					return err
				}
				return a.printLags(lags)
			})
		},
	}
}

// firstRecordOptions are those of a client that is given to firstRecords.
var firstRecordOptions = []kgo.Opt{kgo.KeepControlRecords(), kgo.FetchMaxWait(fetchWait), kgo.FetchMaxPartitionBytes(64 << 10)}

// askLags finds the lag of groups in four steps: who is in the group and owns
// what, what it has committed, where the partitions end, and when the first
// record behind each committed offset was written.
func askLags(ctx context.Context, client *kgo.Client, names []string, now func() time.Time) ([]groupLag, error) {
	admin := kadm.NewClient(client)
	groups, err := askGroups(ctx, admin, names)
	if err != nil {
		return nil, err
	}
	lags := make([]groupLag, 0, len(groups))
	for _, g := range groups {
		lag := groupLag{Name: g.Name, Type: g.Type, State: g.State, Partitions: []partitionLag{}, Error: g.Error}
		if g.Error == nil {
			if err := lag.ask(ctx, client, admin, g, now); err != nil {
				return nil, err
			}
		}
		lags = append(lags, lag)
	}
	return lags, nil
}

func (lag *groupLag) ask(ctx context.Context, client *kgo.Client, admin *kadm.Client, g describedGroup, now func() time.Time) error {
	committed, err := admin.FetchOffsets(ctx, g.Name)
	if err != nil {
		return fmt.Errorf("group %s: %s", g.Name, newProblem(err, ""))
	}
	rows := lagRows(g, committed)
	ends, err := endsOf(ctx, admin, rows)
	if err != nil {
		return err
	}
	behind := map[partition]int64{}
	for p, row := range rows {
		end, ok := ends.Lookup(p.topic, p.number)
		if !ok || end.Err != nil {
			continue // the topic is gone, or has no leader now
		}
		row.End = &end.Offset
		if row.Committed == nil {
			continue
		}
		records := max(0, end.Offset-*row.Committed)
		row.Lag = &records
		if records > 0 {
			behind[p] = *row.Committed
		} else {
			row.LagSeconds = new(float64)
		}
	}
	first, err := firstRecords(ctx, client, behind)
	if err != nil {
		return err
	}
	at := now()
	for p, record := range first {
		seconds := max(0, at.Sub(record.Timestamp).Truncate(time.Millisecond).Seconds())
		rows[p].LagSeconds = &seconds
	}
	lag.add(rows)
	return nil
}

// lagRows makes a row of every partition that a member owns or that the group
// has committed an offset for.
func lagRows(g describedGroup, committed kadm.OffsetResponses) map[partition]*partitionLag {
	rows := map[partition]*partitionLag{}
	row := func(topic string, number int32) *partitionLag {
		p := partition{topic, number}
		if rows[p] == nil {
			rows[p] = &partitionLag{Topic: topic, Partition: number}
		}
		return rows[p]
	}
	for _, m := range g.Members {
		for _, t := range m.Assignment {
			for _, number := range t.Partitions {
				r := row(t.Topic, number)
				r.Member, r.ClientID, r.Host = m.ID, m.ClientID, m.Host
			}
		}
	}
	committed.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At >= 0 {
			row(o.Topic, o.Partition).Committed = &o.At
		}
	})
	return rows
}

// endsOf asks for the ends of partitions; what cannot be found is missing.
func endsOf(ctx context.Context, admin *kadm.Client, rows map[partition]*partitionLag) (kadm.ListedOffsets, error) {
	topics := map[string]bool{}
	for p := range rows {
		topics[p.topic] = true
	}
	if len(topics) == 0 {
		return nil, nil
	}
	ends, err := admin.ListEndOffsets(ctx, slices.Sorted(maps.Keys(topics))...)
	if err != nil && !answered(err) {
		return nil, err
	}
	return ends, nil
}

func (lag *groupLag) add(rows map[partition]*partitionLag) {
	for _, p := range slices.SortedFunc(maps.Keys(rows), comparePartitions) {
		row := *rows[p]
		lag.Partitions = append(lag.Partitions, row)
		if row.Lag != nil {
			lag.Lag += *row.Lag
		}
		if row.LagSeconds != nil {
			lag.LagSeconds = max(lag.LagSeconds, *row.LagSeconds)
		}
	}
}

func (a *App) printLags(lags []groupLag) error {
	failures := &items{app: a}
	for _, g := range lags {
		failures.check("group "+g.Name, g.Error)
	}
	result := struct {
		Groups []groupLag `json:"groups"`
	}{lags}
	err := a.Print(result, func(w io.Writer) {
		for _, g := range lags {
			if g.Error == nil {
				g.write(w)
			}
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}

func (lag groupLag) write(w io.Writer) {
	fmt.Fprintf(w, "%s  %s  %s  lag %d  age %s\n", lag.Name, lag.Type, lag.State, lag.Lag, age(&lag.LagSeconds))
	if len(lag.Partitions) == 0 {
		fmt.Fprintln(w, "  no partitions")
		return
	}
	table := newTable("TOPIC", "#PARTITION", "#COMMITTED", "#END", "#LAG", "#AGE", "MEMBER", "CLIENT", "HOST")
	for _, p := range lag.Partitions {
		table.row(p.Topic, p.Partition, orNothing(p.Committed), orNothing(p.End), orNothing(p.Lag), age(p.LagSeconds), p.Member, p.ClientID, p.Host)
	}
	table.write(w)
}

// age prints seconds as "1h2m3s", below a minute with a tenth.
func age(seconds *float64) string {
	if seconds == nil {
		return ""
	}
	d := time.Duration(*seconds * float64(time.Second))
	if d < time.Minute {
		return d.Truncate(100 * time.Millisecond).String()
	}
	return d.Truncate(time.Second).String()
}

// orNothing is the text of what is there, and "" for nil.
func orNothing[T any](v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}
