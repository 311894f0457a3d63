package metadata

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
)

// Delta is the difference between an Image and the previous one. Its lists are
// sorted, so that they are processed in the same order on every node.
type Delta struct {
	// Topics are the created, deleted or changed topics, by ascending id. A
	// name that was deleted and created again appears as two topics.
	Topics []TopicDelta
	// Brokers are the added, removed or changed brokers, by ascending id.
	Brokers []BrokerDelta
	// Controllers are the ids of controllers that registered.
	Controllers []int32
	// Configs are the resources whose configs changed, by type, then name,
	// including deleted topics that had configs.
	Configs []ConfigResource
	// Features are the names of features whose finalized level changed.
	Features []string
	// ProducerIDs is true if the next producer id changed.
	ProducerIDs bool
	// ClientQuotas is true if a client quota changed.
	ClientQuotas bool
	// Security is true if an ACL, SCRAM credential or delegation token changed.
	Security bool
}

// TopicDelta is the change of one topic.
type TopicDelta struct {
	// Old is nil for a created topic, New for a deleted one.
	Old, New *Topic
	// Partitions are the ids of added, removed or changed partitions,
	// ascending.
	Partitions []int32
}

// UncleanElections counts the partitions whose new leader was neither in sync
// nor eligible before, so records may be lost.
func (d *Delta) UncleanElections() (n int) {
	for _, t := range d.Topics {
		if t.Old == nil || t.New == nil {
			continue
		}
		for _, id := range t.Partitions {
			was, is := t.Old.Partition(id), t.New.Partition(id)
			if was == nil || is == nil || is.Leader == NoLeader || is.Leader == was.Leader {
				continue
			}
			if !slices.Contains(was.ISR, is.Leader) && !slices.Contains(was.ELR, is.Leader) {
				n++
			}
		}
	}
	return n
}

// BrokerDelta is the change of one broker.
type BrokerDelta struct {
	ID int32
	// Old is nil for an added broker, New for a removed one.
	Old, New *Broker
}

// Empty tells whether nothing changed.
func (d *Delta) Empty() bool {
	return len(d.Topics)+len(d.Brokers)+len(d.Controllers)+len(d.Configs)+len(d.Features) == 0 &&
		!d.ProducerIDs && !d.ClientQuotas && !d.Security
}

// touched lists what an editor may have changed, in order and with repetitions.
type touched struct {
	topics      []UUID
	brokers     []int32
	controllers []int32
	configs     []ConfigResource
	features    []string
	quotas      []string
	producerIDs bool
	security    bool
}

// delta compares the touched entries. The editor must be frozen.
func (e *editor) delta() *Delta { return compare(e.base, e.next, &e.touched) }

// Diff compares two Images entirely. Its cost grows with their size.
func Diff(old, next *Image) *Delta {
	var all touched
	for _, img := range []*Image{old, next} {
		for _, t := range img.topics.All() {
			all.topics = append(all.topics, t.ID)
		}
		for id := range img.brokers.All() {
			all.brokers = append(all.brokers, id)
		}
		for id := range img.controllers.All() {
			all.controllers = append(all.controllers, id)
		}
		for at := range img.AllConfigs() {
			all.configs = append(all.configs, at)
		}
		for name := range img.features.All() {
			all.features = append(all.features, name)
		}
		for key := range img.quotas.All() {
			all.quotas = append(all.quotas, key)
		}
	}
	all.producerIDs, all.security = true, true
	return compare(old, next, &all)
}

func compare(old, next *Image, t *touched) *Delta {
	d := &Delta{}
	for _, id := range unique(t.topics, func(a, b UUID) int { return slices.Compare(a[:], b[:]) }) {
		if td, changed := compareTopics(old.TopicByID(id), next.TopicByID(id)); changed {
			d.Topics = append(d.Topics, td)
		}
	}
	for _, id := range unique(t.brokers, cmp.Compare) {
		if a, b := old.Broker(id), next.Broker(id); !reflect.DeepEqual(a, b) {
			d.Brokers = append(d.Brokers, BrokerDelta{ID: id, Old: a, New: b})
		}
	}
	for _, id := range unique(t.controllers, cmp.Compare) {
		a, _ := old.controllers.Get(id)
		b, _ := next.controllers.Get(id)
		if !reflect.DeepEqual(a, b) {
			d.Controllers = append(d.Controllers, id)
		}
	}
	for _, at := range unique(t.configs, func(a, b ConfigResource) int { return cmp.Compare(a.key(), b.key()) }) {
		if !maps.Equal(old.Configs(at.Type, at.Name), next.Configs(at.Type, at.Name)) {
			d.Configs = append(d.Configs, at)
		}
	}
	for _, name := range unique(t.features, cmp.Compare) {
		if old.Feature(name) != next.Feature(name) {
			d.Features = append(d.Features, name)
		}
	}
	d.ClientQuotas = slices.ContainsFunc(t.quotas, func(key string) bool {
		a, _ := old.quotas.Get(key)
		b, _ := next.quotas.Get(key)
		return !reflect.DeepEqual(a, b)
	})
	d.ProducerIDs = t.producerIDs && old.nextProducerID != next.nextProducerID
	d.Security = t.security && (differ(old.acls, next.acls) || differ(old.scram, next.scram) || differ(old.tokens, next.tokens))
	return d
}

func compareTopics(old, next *Topic) (d TopicDelta, changed bool) {
	if old == next {
		return d, false
	}
	d.Old, d.New = old, next
	a, b := Map[int32, *Partition]{}, Map[int32, *Partition]{}
	if old != nil {
		a = old.partitions
	}
	if next != nil {
		b = next.partitions
	}
	for id, p := range a.All() {
		if q, ok := b.Get(id); !ok || !p.Equal(q) {
			d.Partitions = append(d.Partitions, id)
		}
	}
	for id := range b.All() {
		if _, ok := a.Get(id); !ok {
			d.Partitions = append(d.Partitions, id)
		}
	}
	slices.Sort(d.Partitions)
	return d, old == nil || next == nil || len(d.Partitions) > 0
}

// differ compares maps of records. Unchanged maps share the same tree.
func differ[V any](a, b Map[string, V]) bool {
	if a.tree == b.tree {
		return false
	}
	if a.Len() != b.Len() {
		return true
	}
	for key, v := range a.All() {
		if w, ok := b.Get(key); !ok || !reflect.DeepEqual(v, w) {
			return true
		}
	}
	return false
}

// unique sorts a list and removes duplicates.
func unique[T comparable](list []T, order func(a, b T) int) []T {
	slices.SortFunc(list, order)
	return slices.Compact(list)
}
