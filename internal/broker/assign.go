package broker

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// assignments are the replicas of which the metadata does not say, or says
// wrongly, in which of this node's log dirs they are: the node chooses by
// itself when it has several, and tells the controller afterwards (KIP-858). A
// dir that fails costs those replicas their leadership that it holds by the
// metadata.
type assignments struct {
	mu      sync.Mutex
	pending map[placed]metadata.UUID // the log dir
	changed chan struct{}            // one token
}

// placed is a replica of this node.
type placed struct {
	topic     metadata.UUID
	partition int32
}

// The most replicas in one request, as Kafka has it, and the pause after one
// that failed.
const (
	maxAssignments  = 2250
	assignmentPause = 500 * time.Millisecond
)

// noteAssignments compares a change of the metadata with where the logs are.
func (n *Node) noteAssignments(img *metadata.Image, delta *metadata.Delta) {
	if img.MetadataVersion() < metadata.DirectoriesLevel {
		return // it has no place for them
	}
	var found []assignment
	for _, d := range delta.Topics {
		if d.New == nil {
			continue
		}
		for _, id := range d.Partitions {
			p := d.New.Partition(id)
			if p == nil {
				continue
			}
			dir, ok := p.Directory(n.static.NodeID)
			log := n.storage.Log(d.New.Name, id)
			if ok && log != nil && log.TP().TopicID == d.New.ID && log.DirID() != dir {
				found = append(found, assignment{log.DirID(), placed{d.New.ID, id}})
			}
		}
	}
	n.assign.add(found...)
}

func (a *assignments) add(found ...assignment) {
	if len(found) == 0 {
		return
	}
	a.mu.Lock()
	for _, one := range found {
		a.pending[one.placed] = one.dir
	}
	a.mu.Unlock()
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// take removes and returns as many as fit into a request, in a fixed order.
func (a *assignments) take() []assignment {
	a.mu.Lock()
	defer a.mu.Unlock()
	var taken []assignment
	for replica, dir := range a.pending {
		taken = append(taken, assignment{dir, replica})
	}
	slices.SortFunc(taken, func(x, y assignment) int {
		return cmp.Or(bytes.Compare(x.dir[:], y.dir[:]), bytes.Compare(x.topic[:], y.topic[:]), cmp.Compare(x.partition, y.partition))
	})
	taken = taken[:min(len(taken), maxAssignments)]
	for _, one := range taken {
		delete(a.pending, one.placed)
	}
	return taken
}

// assignment is a replica and the log dir that it is in.
type assignment struct {
	dir metadata.UUID
	placed
}

// assignDirs tells the controller, until ctx is done.
func (n *Node) assignDirs(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.assign.changed:
		}
		for batch := n.assign.take(); len(batch) > 0; batch = n.assign.take() {
			resp := n.controller.AssignReplicasToDirs(ctx, n.assignmentRequest(batch))
			if resp.ErrorCode == int16(protocol.None) {
				continue
			}
			n.assign.add(batch...)
			select {
			case <-ctx.Done():
				return
			case <-time.After(assignmentPause):
			}
		}
	}
}

// assignmentRequest is the request for a batch, which is sorted.
func (n *Node) assignmentRequest(batch []assignment) *kmsg.AssignReplicasToDirsRequest {
	req := kmsg.NewPtrAssignReplicasToDirsRequest()
	req.BrokerID, req.BrokerEpoch = n.static.NodeID, n.epoch
	for _, one := range batch {
		if last := len(req.Directories) - 1; last < 0 || req.Directories[last].ID != one.dir {
			dir := kmsg.NewAssignReplicasToDirsRequestDirectory()
			dir.ID = one.dir
			req.Directories = append(req.Directories, dir)
		}
		dir := &req.Directories[len(req.Directories)-1]
		if last := len(dir.Topics) - 1; last < 0 || dir.Topics[last].TopicID != one.topic {
			topic := kmsg.NewAssignReplicasToDirsRequestDirectoryTopic()
			topic.TopicID = one.topic
			dir.Topics = append(dir.Topics, topic)
		}
		topic := &dir.Topics[len(dir.Topics)-1]
		p := kmsg.NewAssignReplicasToDirsRequestDirectoryTopicPartition()
		p.Partition = one.partition
		topic.Partitions = append(topic.Partitions, p)
	}
	return req
}
