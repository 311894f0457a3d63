package monitoring

import (
	"slices"
	"strconv"
	"time"
)

// groups are the consumer groups: members, and what they have read of each
// topic and, up to PartitionsMax, of each partition. In case there is not room for
// all, groups with members come first, and what there is of each group before
// what there is of its partitions.
func (s *scrape) groups(list []Group, now time.Time) {
	partitions := 0
	for _, g := range list {
		partitions += len(g.Partitions)
	}
	told := make(map[string]bool, min(len(list), s.PartitionsMax))
	var kept []Group
	for _, active := range []bool{true, false} {
		for _, g := range list {
			if g.Members > 0 == active && s.group(&g, told, now) {
				kept = append(kept, g)
			}
		}
	}
	for _, g := range kept {
		s.omitted.groupPartitions += g.Omitted
		eachTopic(g.Partitions, func(topic string, of []GroupLag) { s.groupTopic(g.ID, topic, of) })
	}
	if partitions > s.PartitionsMax {
		for _, g := range kept {
			s.omitted.groupPartitions += len(g.Partitions)
		}
		return
	}
	for _, g := range kept {
		eachTopic(g.Partitions, func(topic string, of []GroupLag) {
			for i := range of {
				s.within(&s.bound.groups, &s.omitted.groupPartitions, func() { s.groupPartition(&of[i], now, g.ID, topic) })
			}
		})
	}
}

// group is what there is of a group once, and makes its id a label. It tells
// whether there is room for the group.
func (s *scrape) group(g *Group, told map[string]bool, now time.Time) (kept bool) {
	s.within(&s.bound.groups, &s.omitted.groups, func() {
		g.ID = label(g.ID)
		if told[g.ID] { // two ids became one label
			s.omitted.groups++
			return
		}
		told[g.ID], kept = true, true
		s.gauge("kafka_consumergroup_members", "Members of the group.", float64(g.Members), "consumergroup", g.ID)
		s.groupMax(*g, now)
	})
	return kept
}

// eachTopic calls f with the partitions of each topic, and the topic as a label.
func eachTopic(partitions []GroupLag, f func(topic string, of []GroupLag)) {
	for rest := partitions; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(l GroupLag) bool { return l.Topic != rest[0].Topic })
		if n < 0 {
			n = len(rest)
		}
		f(label(rest[0].Topic), rest[:n])
		rest = rest[n:]
	}
}

// groupMax is how far a group is behind in the partition where it is worst. In
// time it is told only when it is known of all partitions that the node leads. It
// is not told at all when the list of partitions is not complete.
func (s *scrape) groupMax(g Group, now time.Time) {
	most, longest := int64(-1), 0.0
	complete := true
	for i := range g.Partitions {
		l := &g.Partitions[i]
		if l.End < 0 {
			continue
		}
		most = max(most, l.lag())
		seconds, ok := l.seconds(now)
		complete = complete && ok
		longest = max(longest, seconds)
	}
	if most < 0 || g.Omitted > 0 {
		return
	}
	s.gauge("kafka_consumergroup_group_max_lag", "Largest lag of the group in a partition.", float64(most), "group", g.ID)
	if complete {
		s.gauge("kafka_consumergroup_group_max_lag_seconds", "Longest wait of a record that the group has not read.", longest, "group", g.ID)
	}
}

// lag is how many offsets the group is behind.
func (l *GroupLag) lag() int64 { return max(0, l.End-l.Committed) }

// groupTopic is what a group has read of a topic. Partitions whose end is not
// known here count in no lag.
func (s *scrape) groupTopic(group, topic string, partitions []GroupLag) {
	var offsets, lags int64
	for i := range partitions {
		l := &partitions[i]
		offsets += l.Committed
		if l.End >= 0 {
			lags += l.lag()
		}
	}
	s.within(&s.bound.groups, &s.omitted.groupTopics, func() {
		s.gauge("kafka_consumergroup_current_offset_sum", "Sum of the committed offsets.", float64(offsets), "consumergroup", group, "topic", topic)
		s.gauge("kafka_consumergroup_lag_sum", "Sum of the lags.", float64(lags), "consumergroup", group, "topic", topic)
	})
}

// groupPartition is what a group has read of a partition. kafka-lag-exporter
// calls the group's label otherwise than kafka_exporter does.
func (s *scrape) groupPartition(l *GroupLag, now time.Time, group, topic string) {
	where := []string{"partition", strconv.Itoa(int(l.Partition)), "topic", topic}
	labels := append([]string{"consumergroup", group}, where...)
	s.gauge("kafka_consumergroup_current_offset", "Committed offset.", float64(l.Committed), labels...)
	if l.End < 0 {
		return
	}
	s.gauge("kafka_consumergroup_lag", "Records that are not read yet.", float64(l.lag()), labels...)
	if seconds, ok := l.seconds(now); ok {
		s.gauge("kafka_consumergroup_group_lag_seconds", "How long the first record has waited that is not read yet, 0: none waits.", seconds, append([]string{"group", group}, where...)...)
	}
}
