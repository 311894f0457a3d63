package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// resetFlags are the flags of group reset-offsets.
type resetFlags struct {
	topics                           []string
	allTopics                        bool
	earliest, latest, current        bool
	offset, shift, at, ago, fromFile string
	execute, export                  bool
}

// offsetChange is what a reset does to one partition.
type offsetChange struct {
	Topic     string     `json:"topic"`
	Partition int32      `json:"partition"`
	Old       *int64     `json:"old_offset"` // null: nothing committed
	OldTime   *time.Time `json:"old_time"`   // of the record there; null: none
	New       int64      `json:"new_offset"`
	NewTime   *time.Time `json:"new_time"`
	// Records is how many offsets are read again, or, below 0, left out.
	Records *int64   `json:"records"`
	Error   *problem `json:"error,omitempty"`
}

func (a *App) groupResetOffsets(l *link) *cobra.Command {
	f := &resetFlags{}
	cmd := &cobra.Command{
		Use:   "reset-offsets GROUP",
		Short: "Show new offsets for a group, and set them with --execute",
		Long: "Show for each partition the old and the new offset, the timestamps of the records there, and the\n" +
			"number of records that will be read again or skipped. Only --execute changes the offsets; the group\n" +
			"must then have no members. An offset outside the partition is replaced by the nearest valid one.",
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeGroups(l, 1),
		Example: example(`
ottla group reset-offsets billing --topic orders --to-earliest
# read the last hour of two partitions again
ottla group reset-offsets billing --topic orders:0,3 --by-duration 1h --execute
# keep the offsets, and bring them back
ottla group reset-offsets billing --all-topics --to-current --export > offsets.csv
ottla group reset-offsets billing --from-file offsets.csv --execute`),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.reset(a, args[0])
			if err != nil {
				return usage(err)
			}
			return l.doWith(cmd, firstRecordOptions, func(ctx context.Context, client *kgo.Client) error {
				return a.resetOffsets(ctx, client, f, r)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.topics, "topic", "t", nil, "a topic, or `TOPIC:0,3` for some partitions (repeatable)")
	flags.BoolVar(&f.allTopics, "all-topics", false, "all topics for which the group has committed offsets")
	flags.BoolVar(&f.earliest, "to-earliest", false, "to the first record")
	flags.BoolVar(&f.latest, "to-latest", false, "after the last record")
	flags.BoolVar(&f.current, "to-current", false, "to the committed offset, else after the last record")
	flags.StringVar(&f.offset, "to-offset", "", "to this `offset`")
	flags.StringVar(&f.shift, "shift-by", "", "so `many` records forward, or back when negative")
	flags.StringVar(&f.at, "to-datetime", "", "to the first record at or after a `time`: a date, date and time, or ms since 1970")
	flags.StringVar(&f.ago, "by-duration", "", "to the first record of the last `duration`: 90s, 7d, 1h30m, or P7DT1H")
	flags.StringVar(&f.fromFile, "from-file", "", "to the offsets in a `file` of lines topic,partition,offset")
	flags.BoolVar(&f.execute, "execute", false, "set the offsets; without it, only show them")
	flags.BoolVar(&f.export, "export", false, "print lines topic,partition,offset of the new offsets, as --from-file reads them")
	mustComplete(cmd, "topic", a.completeTopics(func() *link { return l }, 0))
	return cmd
}

func (a *App) resetOffsets(ctx context.Context, client *kgo.Client, f *resetFlags, r *reset) error {
	changes, err := r.plan(ctx, client)
	if err != nil {
		return err
	}
	failures := &items{app: a}
	if f.execute {
		if err := r.execute(ctx, kadm.NewClient(client), changes); err != nil {
			return err
		}
		for _, c := range changes {
			failures.check(fmt.Sprintf("%s [%d]", c.Topic, c.Partition), c.Error)
		}
	}
	result := struct {
		Group    string         `json:"group"`
		Offsets  []offsetChange `json:"offsets"`
		Executed bool           `json:"executed"`
	}{r.group, changes, f.execute}
	err = a.Print(result, func(w io.Writer) {
		if f.export {
			exportOffsets(w, changes)
		} else {
			writeChanges(w, changes)
		}
	})
	if err != nil {
		return err
	}
	if !f.execute && !f.export {
		a.Notef("Nothing is changed yet: --execute does it.")
	}
	return failures.result()
}

func writeChanges(w io.Writer, changes []offsetChange) {
	table := newTable("TOPIC", "#PARTITION", "#OLD", "OLD TIME", "#NEW", "NEW TIME", "RECORDS")
	for _, c := range changes {
		table.row(c.Topic, c.Partition, orNothing(c.Old), momentText(c.OldTime), c.New, momentText(c.NewTime), c.effect())
	}
	table.write(w)
}

// effect says what the change does to the reader.
func (c offsetChange) effect() string {
	switch {
	case c.Records == nil:
		return ""
	case *c.Records > 0:
		return strconv.FormatInt(*c.Records, 10) + " again"
	case *c.Records < 0:
		return strconv.FormatInt(-*c.Records, 10) + " left out"
	}
	return "none"
}

func momentText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// exportOffsets writes the lines that Kafka's tool exports for one group.
func exportOffsets(w io.Writer, changes []offsetChange) {
	for _, c := range changes {
		fmt.Fprintf(w, "%s,%d,%d\n", c.Topic, c.Partition, c.New)
	}
}

// importOffsets reads lines "topic,partition,offset", or "group,topic,partition,offset"
// of which only those of the group count, as Kafka's tool exports them.
func importOffsets(content []byte, group string) (map[partition]int64, error) {
	r := csv.NewReader(bytes.NewReader(content))
	r.FieldsPerRecord, r.TrimLeadingSpace = -1, true
	rows, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	offsets := map[partition]int64{}
	for i, row := range rows {
		if len(row) == 4 {
			if row[0] != group {
				continue
			}
			row = row[1:]
		}
		if len(row) != 3 {
			return nil, fmt.Errorf("line %d is not topic,partition,offset", i+1)
		}
		number, err := strconv.ParseInt(row[1], 10, 32)
		if err != nil || number < 0 {
			return nil, fmt.Errorf("line %d: %q is not a partition", i+1, row[1])
		}
		offset, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil || offset < 0 {
			return nil, fmt.Errorf("line %d: %q is not an offset", i+1, row[2])
		}
		offsets[partition{row[0], int32(number)}] = offset
	}
	if len(offsets) == 0 {
		return nil, fmt.Errorf("no offsets of group %s", group)
	}
	return offsets, nil
}
