package monitoring

import (
	"slices"
	"strconv"

	"ottla/internal/metadata"
)

// cluster are the brokers and partitions as the metadata has them, and those of
// this node as it serves them.
func (s *scrape) cluster(img *metadata.Image) {
	brokers := 0
	for b := range img.Brokers() {
		if !b.Fenced {
			brokers++
		}
	}
	s.gauge("kafka_brokers", "Brokers that clients may use.", float64(brokers))
	s.gauge("kafka_controller_kafkacontroller_globaltopiccount", "Topics of the cluster.", float64(img.NumTopics()))
	var t tally
	detailed, untold := s.detailed(img), 0
	for topic := range img.Topics() {
		s.within(&s.bound.topics, &untold, func() {
			s.gauge("kafka_topic_partitions", "Partitions of the topic.", float64(topic.NumPartitions()), "topic", topic.Name)
		})
		least := minISR(img, topic.Name)
		for p := range topic.Partitions() {
			t.add(p, s.ID, least)
			switch {
			case !slices.Contains(p.Replicas, s.ID):
			case detailed:
				s.within(&s.bound.topics, &s.omitted.partitions, func() { s.partition(topic.Name, p, least) })
			default:
				s.omitted.partitions++
			}
		}
	}
	s.omitted.topics = max(s.omitted.topics, untold)
	for _, g := range []struct {
		name, help string
		value      int
	}{
		{"kafka_controller_kafkacontroller_globalpartitioncount", "Partitions of the cluster.", t.partitions},
		{"kafka_controller_kafkacontroller_offlinepartitionscount", "Partitions without a leader.", t.leaderless},
		{"kafka_controller_kafkacontroller_preferredreplicaimbalancecount", "Partitions that are not led by their first replica.", t.imbalanced},
		{"kafka_server_replicamanager_leadercount", "Partitions that the node leads.", t.led},
		{"kafka_server_replicamanager_partitioncount", "Partitions that the node has.", t.held},
		{"kafka_server_replicamanager_underreplicatedpartitions", "Partitions that the node leads with replicas out of sync.", t.underReplicated},
		{"kafka_server_replicamanager_underminisrpartitioncount", "Partitions that the node leads with fewer replicas in sync than min.insync.replicas.", t.underMin},
		{"kafka_server_replicamanager_atminisrpartitioncount", "Partitions that the node leads with just min.insync.replicas in sync.", t.atMin},
	} {
		s.gauge(g.name, g.help, float64(g.value))
	}
}

// detailed tells whether the cluster is small enough for series of partitions.
func (s *scrape) detailed(img *metadata.Image) bool {
	n := 0
	for topic := range img.Topics() {
		if n += topic.NumPartitions(); n > s.PartitionsMax {
			return false
		}
	}
	return true
}

// tally counts partitions.
type tally struct {
	partitions, leaderless, imbalanced int
	led, held                          int
	underReplicated, underMin, atMin   int
}

func (t *tally) add(p *metadata.Partition, self int32, least int) {
	t.partitions++
	switch {
	case p.Leader == metadata.NoLeader:
		t.leaderless++
	case p.Leader != p.Replicas[0]:
		t.imbalanced++
	}
	if slices.Contains(p.Replicas, self) {
		t.held++
	}
	if p.Leader != self {
		return
	}
	t.led++
	if len(p.ISR) < len(p.Replicas) {
		t.underReplicated++
	}
	switch least = min(least, len(p.Replicas)); {
	case len(p.ISR) < least:
		t.underMin++
	case len(p.ISR) == least:
		t.atMin++
	}
}

// minISR is min.insync.replicas of a topic, as far as the topic or the cluster
// sets it; 1 otherwise.
func minISR(img *metadata.Image, topic string) int {
	const name = "min.insync.replicas"
	for _, r := range []metadata.ConfigResource{{Type: metadata.ResourceTopic, Name: topic}, {Type: metadata.ResourceBroker}} {
		if text, ok := img.Config(r.Type, r.Name, name); ok {
			if n, err := strconv.Atoi(text); err == nil {
				return n
			}
		}
	}
	return 1
}

// partition are the series of one partition that this node has.
func (s *scrape) partition(topic string, p *metadata.Partition, least int) {
	labels := []string{"partition", strconv.Itoa(int(p.ID)), "topic", topic}
	s.gauge("kafka_topic_partition_leader", "Leader of the partition, -1: none.", float64(p.Leader), labels...)
	s.gauge("kafka_topic_partition_leader_is_preferred", "1 if the first replica leads.", truth(p.Leader == p.Replicas[0]), labels...)
	s.gauge("kafka_topic_partition_replicas", "Replicas of the partition.", float64(len(p.Replicas)), labels...)
	s.gauge("kafka_topic_partition_in_sync_replica", "Replicas that are in sync.", float64(len(p.ISR)), labels...)
	s.gauge("kafka_topic_partition_under_replicated_partition", "1 if a replica is out of sync.", truth(len(p.ISR) < len(p.Replicas)), labels...)
	s.gauge("kafka_cluster_partition_underminisr", "1 if fewer replicas are in sync than min.insync.replicas.", truth(len(p.ISR) < min(least, len(p.Replicas))), labels...)
	s.gauge("kafka_cluster_partition_atminisr", "1 if just min.insync.replicas are in sync.", truth(len(p.ISR) == min(least, len(p.Replicas))), labels...)
	served, err := s.Replicas.Partition(topic, p.ID)
	if err != nil {
		return
	}
	log := served.Log()
	s.gauge("kafka_log_log_size", "Bytes of the partition's segments.", float64(log.Size()), labels...)
	s.gauge("kafka_log_log_logendoffset", "Offset that the next record gets.", float64(log.EndOffset()), labels...)
	s.gauge("kafka_log_log_logstartoffset", "First offset.", float64(log.StartOffset()), labels...)
	if p.Leader == s.ID {
		s.gauge("kafka_topic_partition_current_offset", "Offset up to which consumers can read.", float64(served.HighWatermark()), labels...)
		s.gauge("kafka_topic_partition_oldest_offset", "First offset.", float64(log.StartOffset()), labels...)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
