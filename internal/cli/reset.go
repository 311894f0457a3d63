package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reset is what is to become of a group's offsets: one goal for the chosen
// partitions, or an offset for each of them.
type reset struct {
	group  string
	topics map[string][]int32  // nil numbers: all; no topics: those with committed offsets
	goal   resetGoal           // unless there is fixed
	fixed  map[partition]int64 // from a file
}

// resetGoal is where the partitions go. Without relative and current it is to.
type resetGoal struct {
	to       position
	relative bool // to.n records behind what is committed
	current  bool // to what is committed, else to to
}

// reset reads the flags. Exactly one goal must be there, and a scope with it;
// a file is both.
func (f *resetFlags) reset(a *App, group string) (*reset, error) {
	goal, goals, err := f.goal(time.Now())
	if err != nil {
		return nil, err
	}
	if goals != 1 {
		return nil, errors.New("give exactly one of --to-earliest, --to-latest, --to-current, --to-offset, --shift-by, --to-datetime, --by-duration, --from-file")
	}
	if f.execute && f.export {
		return nil, errors.New("--execute and --export exclude each other")
	}
	r := &reset{group: group, goal: goal}
	if r.topics, err = parseTopics(f.topics); err != nil {
		return nil, fmt.Errorf("--topic %w", err)
	}
	scoped := len(r.topics) > 0
	switch {
	case f.fromFile != "" && (scoped || f.allTopics):
		return nil, errors.New("--from-file names the partitions: it excludes --topic and --all-topics")
	case f.fromFile != "":
		content, err := a.ReadFile(f.fromFile)
		if err != nil {
			return nil, err
		}
		if r.fixed, err = importOffsets(content, group); err != nil {
			return nil, fmt.Errorf("%s: %w", f.fromFile, err)
		}
	case scoped == f.allTopics:
		return nil, errors.New("give --topic or --all-topics")
	}
	return r, nil
}

// goal reads the flags that say where to, and counts them.
func (f *resetFlags) goal(now time.Time) (goal resetGoal, given int, err error) {
	number := func(flag, text string) int64 {
		n, bad := strconv.ParseInt(text, 10, 64)
		if bad != nil {
			err = fmt.Errorf("--%s %q is not a number", flag, text)
		}
		return n
	}
	use := func(set bool, read func()) {
		if set {
			given++
			read()
		}
	}
	use(f.earliest, func() { goal.to = atStart })
	use(f.latest, func() { goal.to = atEnd })
	use(f.current, func() { goal = resetGoal{to: atEnd, current: true} })
	use(f.offset != "", func() { goal.to = position{absolute, number("to-offset", f.offset)} })
	use(f.shift != "", func() { goal = resetGoal{to: position{n: number("shift-by", f.shift)}, relative: true} })
	use(f.at != "", func() { goal.to, err = parseTime(f.at, now) })
	use(f.ago != "", func() {
		var ago time.Duration
		ago, err = parseAgo(f.ago)
		goal.to = position{byTime, now.Add(-ago).UnixMilli()}
	})
	use(f.fromFile != "", func() {})
	return goal, given, err
}

// parseAgo reads a duration as the other commands do, or as Kafka's tool does:
// ISO 8601, such as P7DT1H30M.
func parseAgo(text string) (time.Duration, error) {
	rest, iso := strings.CutPrefix(strings.ToLower(text), "p")
	if !iso {
		return parseDuration(text)
	}
	days, clock, timed := strings.Cut(rest, "t")
	if days != "" && !strings.HasSuffix(days, "d") || timed && clock == "" || rest == "" || strings.Contains(clock, "d") {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	d, err := parseDuration(days + clock)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	return d, nil
}

// plan finds what the reset does, in five steps: the group must have no
// members, what it has committed, which partitions are meant, where each goes,
// and which records stand there.
func (r *reset) plan(ctx context.Context, client *kgo.Client) ([]offsetChange, error) {
	admin := kadm.NewClient(client)
	if err := r.checkEmpty(ctx, admin); err != nil {
		return nil, err
	}
	fetched, err := admin.FetchOffsets(ctx, r.group)
	if err != nil {
		return nil, fmt.Errorf("group %s: %s", r.group, newProblem(err, ""))
	}
	committed := map[partition]int64{}
	fetched.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At >= 0 {
			committed[partition{o.Topic, o.Partition}] = o.At
		}
	})
	ends, err := r.ends(ctx, admin, committed)
	if err != nil {
		return nil, err
	}
	chosen, err := r.choose(ends, committed)
	if err != nil {
		return nil, err
	}
	changes := make([]offsetChange, 0, len(chosen))
	for _, p := range chosen {
		change, err := r.change(p, *ends[p], committed)
		if err != nil {
			return nil, err
		}
		changes = append(changes, change)
	}
	return changes, addTimes(ctx, client, changes, ends)
}

// checkEmpty refuses a group with members: they hold their own offsets and
// would commit over the new ones. A group that does not exist is made.
func (r *reset) checkEmpty(ctx context.Context, admin *kadm.Client) error {
	groups, err := askGroups(ctx, admin, []string{r.group})
	if err != nil {
		return err
	}
	g := groups[0]
	if g.Error != nil || len(g.Members) == 0 {
		return nil
	}
	return fmt.Errorf("group %s is %s, with %d members: its offsets can be reset only when it is empty; stop its members first",
		r.group, g.State, len(g.Members))
}

// ends asks where the partitions of all topics that matter begin and end.
func (r *reset) ends(ctx context.Context, admin *kadm.Client, committed map[partition]int64) (map[partition]*bounds, error) {
	topics := map[string]bool{}
	for topic := range r.topics {
		topics[topic] = true
	}
	for p := range r.fixed {
		topics[p.topic] = true
	}
	if len(topics) == 0 {
		for p := range committed {
			topics[p.topic] = true
		}
	}
	if len(topics) == 0 {
		return nil, fmt.Errorf("group %s has committed no offsets: say which --topic", r.group)
	}
	names := slices.Sorted(maps.Keys(topics))
	found, err := admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, err
	}
	for _, t := range found.Sorted() {
		if t.Err != nil {
			return nil, fmt.Errorf("topic %s: %s", t.Topic, newProblem(t.Err, ""))
		}
	}
	return listBounds(ctx, admin, names, span{from: r.goal.to}, false)
}

// choose lists the partitions that are meant, in order.
func (r *reset) choose(ends map[partition]*bounds, committed map[partition]int64) ([]partition, error) {
	var chosen []partition
	for p := range r.fixed {
		chosen = append(chosen, p)
	}
	for topic, numbers := range r.topics {
		for _, number := range numbers {
			chosen = append(chosen, partition{topic, number})
		}
		if numbers != nil {
			continue
		}
		for p := range ends {
			if p.topic == topic {
				chosen = append(chosen, p)
			}
		}
	}
	if len(chosen) == 0 { // --all-topics
		chosen = slices.Collect(maps.Keys(committed))
	}
	slices.SortFunc(chosen, comparePartitions)
	for _, p := range chosen {
		if ends[p] == nil {
			return nil, fmt.Errorf("topic %s has no partition %d", p.topic, p.number)
		}
	}
	return slices.Compact(chosen), nil
}

// change finds the new offset of one partition, within its ends.
func (r *reset) change(p partition, b bounds, committed map[partition]int64) (offsetChange, error) {
	c := offsetChange{Topic: p.topic, Partition: p.number}
	old, known := committed[p]
	if known {
		c.Old = &old
	}
	wanted := b.offset(r.goal.to)
	switch {
	case r.fixed != nil:
		wanted = r.fixed[p]
	case r.goal.relative && !known:
		return c, fmt.Errorf("%s [%d]: no committed offset to shift", p.topic, p.number)
	case r.goal.relative:
		wanted = saturated(old, max(0, r.goal.to.n)) + min(0, r.goal.to.n)
	case r.goal.current && known:
		wanted = old
	}
	c.New = clamp(wanted, b.start, b.end)
	if known {
		records := old - c.New
		c.Records = &records
	}
	return c, nil
}

// addTimes reads the records at the old and at the new offsets.
func addTimes(ctx context.Context, client *kgo.Client, changes []offsetChange, ends map[partition]*bounds) error {
	read := func(of func(*offsetChange) *int64, keep func(*offsetChange, *time.Time)) error {
		at := map[partition]int64{}
		for i := range changes {
			c := &changes[i]
			p := partition{c.Topic, c.Partition}
			if offset := of(c); offset != nil && *offset >= ends[p].start && *offset < ends[p].end {
				at[p] = *offset
			}
		}
		first, err := firstRecords(ctx, client, at)
		for i := range changes {
			if record := first[partition{changes[i].Topic, changes[i].Partition}]; record != nil {
				utc := record.Timestamp.UTC()
				keep(&changes[i], &utc)
			}
		}
		return err
	}
	if err := read(func(c *offsetChange) *int64 { return c.Old }, func(c *offsetChange, t *time.Time) { c.OldTime = t }); err != nil {
		return err
	}
	return read(func(c *offsetChange) *int64 { return &c.New }, func(c *offsetChange, t *time.Time) { c.NewTime = t })
}

// execute commits the new offsets and notes what failed.
func (r *reset) execute(ctx context.Context, admin *kadm.Client, changes []offsetChange) error {
	offsets := kadm.Offsets{}
	for _, c := range changes {
		offsets.Add(kadm.Offset{Topic: c.Topic, Partition: c.Partition, At: c.New, LeaderEpoch: -1})
	}
	done, err := admin.CommitOffsets(ctx, r.group, offsets)
	if err != nil {
		return fmt.Errorf("group %s: %s", r.group, newProblem(err, ""))
	}
	for i, c := range changes {
		answer, ok := done.Lookup(c.Topic, c.Partition)
		if !ok {
			answer.Err = errors.New("the cluster did not mention it in its response")
		}
		changes[i].Error = newProblem(answer.Err, "")
	}
	return nil
}
