package monitoring

import (
	"slices"
	"strconv"
	"time"
)

// groups are the consumer groups: members, and what they have read of each
// topic and, up to PartitionsMax, of each partition.
func (s *scrape) groups(list []Group, now time.Time) {
	partitions := 0
	for _, g := range list {
		partitions += len(g.Partitions)
	}
	for _, g := range list {
		g.ID = readable(g.ID)
		s.gauge("kafka_consumergroup_members", "Members of the group.", float64(g.Members), "consumergroup", g.ID)
		s.groupMax(g, now)
		for rest := g.Partitions; len(rest) > 0; {
			n := slices.IndexFunc(rest, func(l GroupLag) bool { return l.Topic != rest[0].Topic })
			if n < 0 {
				n = len(rest)
			}
			s.groupTopic(g.ID, rest[:n], partitions <= s.PartitionsMax, now)
			rest = rest[n:]
		}
	}
}

// groupMax is how far a group is behind in the partition where it is worst. In
// time it is told only when it is known of all partitions that the node leads.
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
	if most < 0 {
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
func (s *scrape) groupTopic(group string, partitions []GroupLag, detailed bool, now time.Time) {
	topic := partitions[0].Topic
	var offsets, lags int64
	for i := range partitions {
		l := &partitions[i]
		offsets += l.Committed
		if l.End >= 0 {
			lags += l.lag()
		}
		if detailed {
			s.groupPartition(l, now, group)
		}
	}
	s.gauge("kafka_consumergroup_current_offset_sum", "Sum of the committed offsets.", float64(offsets), "consumergroup", group, "topic", topic)
	s.gauge("kafka_consumergroup_lag_sum", "Sum of the lags.", float64(lags), "consumergroup", group, "topic", topic)
}

// groupPartition is what a group has read of a partition. kafka-lag-exporter
// calls the group's label otherwise than kafka_exporter does.
func (s *scrape) groupPartition(l *GroupLag, now time.Time, group string) {
	where := []string{"partition", strconv.Itoa(int(l.Partition)), "topic", l.Topic}
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
