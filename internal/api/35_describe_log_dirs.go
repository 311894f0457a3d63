package api

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/meter"
	"ottla/internal/protocol"
	"ottla/internal/replica"
	"ottla/internal/storage"
)

// describeLogDirs answers DescribeLogDirs, versions 1–5 (KIP-113, KIP-827,
// KIP-1066): each log dir with its space and the partitions in it, of the
// topics asked for or, when none are given, of all. A dir that is offline is
// KAFKA_STORAGE_ERROR.
//
// Describe on the cluster.
func (h *Handler) describeLogDirs(_ context.Context, r *Request, req *kmsg.DescribeLogDirsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	cordoned := h.Config().Logs.CordonedDirs
	wanted := wantedPartitions(req)
	online := map[string]storage.Dir{}
	for _, dir := range h.Storage.Dirs() {
		online[dir.Path] = dir
	}
	for _, path := range slices.Sorted(slices.Values(h.Static.LogDirs)) {
		out := kmsg.NewDescribeLogDirsResponseDir()
		out.Dir, out.IsCordoned = path, slices.Contains(cordoned, path)
		out.TotalBytes, out.UsableBytes = -1, -1
		if dir, ok := online[path]; ok {
			if usage, err := h.Storage.Usage(dir); err == nil {
				out.TotalBytes, out.UsableBytes = int64(usage.Total), int64(usage.Free)
			}
			out.Topics = h.partitionsIn(r.Meter, dir, wanted)
		} else {
			out.ErrorCode = int16(protocol.KafkaStorageError)
		}
		resp.Dirs = append(resp.Dirs, out)
	}
	return resp, nil
}

// partitionsIn lists the partitions of a dir that are wanted, by topic.
func (h *Handler) partitionsIn(m *meter.Meter, dir storage.Dir, wanted map[fetchKey]bool) []kmsg.DescribeLogDirsResponseDirTopic {
	var topics []kmsg.DescribeLogDirsResponseDirTopic
	index := map[string]int{}
	for p := range h.Replicas.All() {
		log := p.Log()
		tp := log.TP()
		if log.DirID() != dir.ID || wanted != nil && !wanted[fetchKey{topic: tp.Topic, partition: tp.Partition}] {
			continue
		}
		if m.Charge(meter.Lookup+meter.Size[kmsg.DescribeLogDirsResponseDirTopicPartition]()+len(tp.Topic)) != nil {
			return nil
		}
		i, ok := index[tp.Topic]
		if !ok {
			i = len(topics)
			index[tp.Topic] = i
			topic := kmsg.NewDescribeLogDirsResponseDirTopic()
			topic.Topic = tp.Topic
			topics = append(topics, topic)
		}
		topics[i].Partitions = append(topics[i].Partitions, logDirPartition(p))
	}
	slices.SortFunc(topics, func(a, b kmsg.DescribeLogDirsResponseDirTopic) int { return strings.Compare(a.Topic, b.Topic) })
	for _, t := range topics {
		slices.SortFunc(t.Partitions, func(a, b kmsg.DescribeLogDirsResponseDirTopicPartition) int { return int(a.Partition - b.Partition) })
	}
	return topics
}

// logDirPartition: the lag of a log that is not a future one is how far its end
// is behind the high watermark, which is never.
func logDirPartition(p *replica.Partition) kmsg.DescribeLogDirsResponseDirTopicPartition {
	out := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
	out.Partition, out.Size = p.Log().TP().Partition, p.Log().Size()
	out.OffsetLag = max(0, p.HighWatermark()-p.Log().EndOffset())
	return out
}

// wantedPartitions are the partitions that a request names; nil: all.
func wantedPartitions(req *kmsg.DescribeLogDirsRequest) map[fetchKey]bool {
	if req.Topics == nil {
		return nil
	}
	wanted := map[fetchKey]bool{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			wanted[fetchKey{topic: t.Topic, partition: p}] = true
		}
	}
	return wanted
}
