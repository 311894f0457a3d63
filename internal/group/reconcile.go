package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/group/assignor"
	"ottla/internal/schema"
)

// reconciliation brings a member one step nearer to its target:
//
//  1. A member that was asked to revoke (UNREVOKED_PARTITIONS) stays as it is
//     until a heartbeat says what it owns and nothing of that is to be revoked.
//  2. What it has and shall not have it must revoke: the epoch stays, so that
//     it can still commit what it read.
//  3. Else its epoch becomes the target's. It gets what it shall have and
//     nobody holds (G10); for the rest it waits (UNRELEASED_PARTITIONS) and is
//     looked at with every heartbeat.
//  4. With nothing left to wait for it is STABLE.
//
// A partition of a topic that the member no longer subscribes to is never its
// own, whatever the target, which may be older, says.
type reconciliation struct {
	member      *consumerMember
	targetEpoch int32
	target      []assignor.TopicPartitions
	// owned is what the member says that it owns; nil when it does not say.
	owned []kmsg.ConsumerGroupHeartbeatRequestTopic
	// held tells whether some member has a partition, or has to revoke it.
	held func(topic schema.UUID, partition int32) bool
	// subscribes tells whether the member subscribes to a topic.
	subscribes func(topic schema.UUID) bool
	// changed says that its subscription changed with this heartbeat.
	changed bool
}

// next is the member after this step: the same one when nothing changes. It is
// nil for a member in a state that a newer version wrote and that still owns
// something: it must come back without.
func (r *reconciliation) next() *consumerMember {
	m := r.member
	switch m.state {
	case stable:
		switch {
		case m.epoch != r.targetEpoch:
			return r.advance(m.epoch)
		case r.changed:
			return r.drop()
		}
		return m
	case unrevokedPartitions:
		switch {
		case !r.owns(m.revoking):
			return r.advance(m.epoch)
		case r.changed:
			return r.drop()
		}
		return m
	case unreleasedPartitions:
		return r.advance(m.epoch)
	}
	if r.owned == nil || len(r.owned) > 0 {
		return nil
	}
	return r.advance(r.targetEpoch)
}

// owns tells whether the member may still own something of lists.
func (r *reconciliation) owns(lists []CurrentTopicPartitions) bool {
	if r.owned == nil {
		return true
	}
	for _, t := range r.owned {
		for _, p := range t.Partitions {
			if _, ok := assignedSince(lists, t.TopicID, p); ok {
				return true
			}
		}
	}
	return false
}

// drop is step 2 alone, for topics that the member no longer subscribes to.
func (r *reconciliation) drop() *consumerMember {
	m := r.member
	var kept, gone []CurrentTopicPartitions
	for _, tp := range m.assigned {
		if r.subscribes(tp.TopicID) {
			kept = append(kept, tp)
		} else {
			gone = append(gone, tp)
		}
	}
	if len(gone) == 0 {
		return m
	}
	next := *m
	next.previousEpoch = m.epoch
	next.assigned = kept
	if gone = union(m.revoking, gone); r.owns(gone) {
		next.state, next.revoking = unrevokedPartitions, gone
	}
	return &next
}

// advance is steps 2 to 4, from a member epoch on.
func (r *reconciliation) advance(epoch int32) *consumerMember {
	keep, revoke, take, waits := r.compare()
	next := *r.member
	next.previousEpoch = r.member.epoch
	if r.owns(revoke) && len(revoke) > 0 {
		next.state, next.epoch, next.assigned, next.revoking = unrevokedPartitions, epoch, keep, revoke
		return &next
	}
	next.state, next.epoch, next.assigned, next.revoking = stable, r.targetEpoch, union(keep, take), nil
	if waits {
		next.state = unreleasedPartitions
	}
	return &next
}

// compare sets what the member has against its target: what it keeps, must
// revoke, and can take at once; waits tells whether others hold something of
// its target.
func (r *reconciliation) compare() (keep, revoke, take []CurrentTopicPartitions, waits bool) {
	has, target := r.member.assigned, r.target
	for len(has) > 0 || len(target) > 0 {
		var have CurrentTopicPartitions
		var shall assignor.TopicPartitions
		var order int
		switch {
		case len(has) == 0:
			order = 1
		case len(target) == 0:
			order = -1
		default:
			order = compareIDs(has[0].TopicID, target[0].TopicID)
		}
		if order <= 0 {
			have, has = has[0], has[1:]
			shall.TopicID = have.TopicID
		}
		if order >= 0 {
			shall, target = target[0], target[1:]
		}
		if !r.subscribes(shall.TopicID) {
			shall.Partitions = nil
		}
		k, v := split(have, shall.Partitions)
		keep, revoke = appendList(keep, k), appendList(revoke, v)
		t, w := r.available(shall, k.Partitions)
		take, waits = appendList(take, t), waits || w
	}
	return keep, revoke, take, waits
}

// available is what the member can take of a topic at once.
func (r *reconciliation) available(shall assignor.TopicPartitions, has []int32) (take CurrentTopicPartitions, waits bool) {
	take.TopicID = shall.TopicID
	for _, p := range shall.Partitions {
		if _, ok := slices.BinarySearch(has, p); ok {
			continue
		}
		// What the member itself was to revoke it has given back when this is asked.
		if _, own := assignedSince(r.member.revoking, shall.TopicID, p); !own && r.held(shall.TopicID, p) {
			waits = true
			continue
		}
		take.Partitions = append(take.Partitions, p)
		take.AssignmentEpochs = append(take.AssignmentEpochs, r.targetEpoch)
	}
	return take, waits
}

// split parts partitions into those that are in wanted and those that are not.
func split(have CurrentTopicPartitions, wanted []int32) (in, out CurrentTopicPartitions) {
	in.TopicID, out.TopicID = have.TopicID, have.TopicID
	for i, p := range have.Partitions {
		to := &out
		if _, ok := slices.BinarySearch(wanted, p); ok {
			to = &in
		}
		to.Partitions = append(to.Partitions, p)
		to.AssignmentEpochs = append(to.AssignmentEpochs, have.AssignmentEpochs[i])
	}
	return in, out
}

func appendList(lists []CurrentTopicPartitions, one CurrentTopicPartitions) []CurrentTopicPartitions {
	if len(one.Partitions) == 0 {
		return lists
	}
	return append(lists, one)
}

// union merges lists of partitions that have none in common.
func union(x, y []CurrentTopicPartitions) []CurrentTopicPartitions {
	if len(y) == 0 {
		return x
	}
	byTopic := map[schema.UUID]CurrentTopicPartitions{}
	for _, lists := range [][]CurrentTopicPartitions{x, y} {
		for _, tp := range lists {
			merged := byTopic[tp.TopicID]
			merged.TopicID = tp.TopicID
			merged.Partitions = append(merged.Partitions[:len(merged.Partitions):len(merged.Partitions)], tp.Partitions...)
			merged.AssignmentEpochs = append(merged.AssignmentEpochs[:len(merged.AssignmentEpochs):len(merged.AssignmentEpochs)], tp.AssignmentEpochs...)
			byTopic[tp.TopicID] = merged
		}
	}
	all := make([]CurrentTopicPartitions, 0, len(byTopic))
	for _, tp := range byTopic {
		all = append(all, tp)
	}
	return normalize(all, 0)
}
