package metadata

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
)

// ErrInconsistent is wrapped by the error of a record that does not fit the
// Image it is applied to, such as a change of an unknown partition. The log
// then contains a record that no controller wrote, or records are missing.
var ErrInconsistent = errors.New("metadata record does not fit what came before it")

// ApplyError reports a record that could not be applied.
type ApplyError struct {
	// Offset is the offset of the record.
	Offset int64
	Record Message
	// Err wraps ErrInconsistent.
	Err error
}

func (e *ApplyError) Error() string {
	return fmt.Sprintf("metadata offset %d, %s: %v", e.Offset, Format(e.Record), e.Err)
}

func (e *ApplyError) Unwrap() error { return e.Err }

func inconsistent(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInconsistent, fmt.Sprintf(format, args...))
}

// Apply applies records to img and returns the new Image and what changed. The
// last record has the given offset and leader epoch. The records are kept and
// must not be changed afterwards. On error, an *ApplyError, img remains valid.
//
//  1. Every map that a record changes is edited once for all records: the first
//     change copies the path to the entry, later changes reuse the copy.
//  2. The edits are frozen into the new Image.
//  3. The Delta compares the touched entries with img, so an entry that was
//     changed and changed back is not in it.
//
// Records between BeginTransaction and EndTransaction are buffered and take
// effect with EndTransaction.
//
// Rejected: a deep copy of the Image. It would be simpler, but the cost of
// changing one partition would grow with the size of the cluster.
func (img *Image) Apply(records []Message, offset int64, epoch int32) (*Image, *Delta, error) {
	e := newEditor(img)
	first := offset - int64(len(records)) + 1
	for i, m := range records {
		if err := e.apply(m); err != nil {
			return nil, nil, &ApplyError{Offset: first + int64(i), Record: m, Err: err}
		}
	}
	e.next.Offset, e.next.Epoch = offset, epoch
	next := e.freeze()
	return next, e.delta(), nil
}

// Replace makes the Image of a snapshot, whose records are the whole state up
// to an offset, and returns its differences from img.
func (img *Image) Replace(records []Message, offset int64, epoch int32) (*Image, *Delta, error) {
	next, _, err := Empty().Apply(records, offset, epoch)
	if err != nil {
		return nil, nil, err
	}
	return next, Diff(img, next), nil
}

// editor is an Image being changed by one goroutine.
type editor struct {
	base *Image
	next *Image // the fields that are not maps

	topics      mapEdit[string, *Topic]
	topicNames  mapEdit[string, *Topic]
	brokers     mapEdit[int32, *Broker]
	controllers mapEdit[int32, *RegisterControllerRecord]
	configs     mapEdit[string, *resource]
	features    mapEdit[string, int16]
	quotas      mapEdit[string, *ClientQuota]
	scram       mapEdit[string, *UserScramCredentialRecord]
	tokens      mapEdit[string, *DelegationTokenRecord]
	acls        mapEdit[string, *AccessControlEntryRecord]

	touched touched
	// open holds the topics whose partitions are being edited, by idKey.
	open map[string]*topicEdit
	// ownedConfigs and ownedQuotas mark the values that this editor cloned and
	// may therefore change.
	ownedConfigs map[string]bool
	ownedQuotas  map[string]bool
}

func newEditor(img *Image) *editor {
	next := *img
	return &editor{
		base: img, next: &next,
		topics: img.topics.edit(), topicNames: img.topicNames.edit(), brokers: img.brokers.edit(),
		controllers: img.controllers.edit(), configs: img.configs.edit(), features: img.features.edit(),
		quotas: img.quotas.edit(), scram: img.scram.edit(), tokens: img.tokens.edit(), acls: img.acls.edit(),
		open: map[string]*topicEdit{}, ownedConfigs: map[string]bool{}, ownedQuotas: map[string]bool{},
	}
}

func (e *editor) freeze() *Image {
	e.closeTopics()
	n := e.next
	n.topics, n.topicNames = e.topics.freeze(), e.topicNames.freeze()
	n.brokers, n.controllers = e.brokers.freeze(), e.controllers.freeze()
	n.configs, n.features = e.configs.freeze(), e.features.freeze()
	n.quotas, n.scram = e.quotas.freeze(), e.scram.freeze()
	n.tokens, n.acls = e.tokens.freeze(), e.acls.freeze()
	return n
}

// apply applies one record, or adds it to the open transaction.
func (e *editor) apply(m Message) error {
	switch m := m.(type) {
	case *BeginTransactionRecord:
		if e.next.open != nil {
			return inconsistent("a transaction is open already")
		}
		e.next.open = &transaction{begin: m}
		return nil
	case *AbortTransactionRecord:
		if e.next.open == nil {
			return inconsistent("no transaction is open")
		}
		e.next.open = nil
		return nil
	case *EndTransactionRecord:
		return e.endTransaction()
	}
	if t := e.next.open; t != nil {
		// A new list: the one of the previous Image must not change.
		e.next.open = &transaction{begin: t.begin, records: append(slices.Clip(t.records), m)}
		return nil
	}
	return e.fold(m)
}

func (e *editor) endTransaction() error {
	t := e.next.open
	if t == nil {
		return inconsistent("no transaction is open")
	}
	e.next.open = nil
	for _, m := range t.records {
		if err := e.fold(m); err != nil {
			return fmt.Errorf("in its transaction, %s: %w", Format(m), err)
		}
	}
	return nil
}

// fold applies one record, ignoring transactions.
func (e *editor) fold(m Message) error {
	switch m := m.(type) {
	case *RegisterBrokerRecord, *UnregisterBrokerRecord, *FenceBrokerRecord, *UnfenceBrokerRecord,
		*BrokerRegistrationChangeRecord, *RegisterControllerRecord:
		return e.foldCluster(m)
	case *TopicRecord, *PartitionRecord, *PartitionChangeRecord, *RemoveTopicRecord, *ClearElrRecord:
		return e.foldTopic(m)
	case *AccessControlEntryRecord, *RemoveAccessControlEntryRecord, *UserScramCredentialRecord,
		*RemoveUserScramCredentialRecord, *DelegationTokenRecord, *RemoveDelegationTokenRecord:
		return e.foldSecurity(m)
	case *ConfigRecord:
		e.config(m)
	case *ClientQuotaRecord:
		e.quota(m)
	case *FeatureLevelRecord:
		e.feature(m)
	case *ProducerIdsRecord:
		e.next.nextProducerID = m.NextProducerID
		e.touched.producerIDs = true
	case *ZkMigrationStateRecord:
		e.next.zkMigration = m
	case *NoOpRecord:
	default:
		return inconsistent("%T is unknown here", m)
	}
	return nil
}

// config sets or removes one config. A resource's map is small, so the first
// change in an Apply clones it.
func (e *editor) config(m *ConfigRecord) {
	at := ConfigResource{m.ResourceType, m.ResourceName}
	key := at.key()
	e.touched.configs = append(e.touched.configs, at)
	r, _ := e.configs.get(key)
	if m.Value == nil && r == nil {
		return
	}
	if !e.ownedConfigs[key] || r == nil {
		next := &resource{ConfigResource: at, values: map[string]string{}}
		if r != nil {
			next.values = maps.Clone(r.values)
		}
		r = next
		e.configs.set(key, r)
		e.ownedConfigs[key] = true
	}
	if m.Value != nil {
		r.values[m.Name] = *m.Value
		return
	}
	delete(r.values, m.Name)
	if len(r.values) == 0 {
		e.configs.remove(key)
	}
}

func (e *editor) removeConfigs(at ConfigResource) {
	e.configs.remove(at.key())
	e.touched.configs = append(e.touched.configs, at)
}

// feature sets a finalized level. The level of kraft.version is in the quorum's
// control record; Kafka also skips it here (KAFKA-18979).
func (e *editor) feature(m *FeatureLevelRecord) {
	if m.Name == FeatureKRaftVersion {
		return
	}
	e.touched.features = append(e.touched.features, m.Name)
	if m.FeatureLevel == 0 {
		e.features.remove(m.Name)
		return
	}
	e.features.set(m.Name, m.FeatureLevel)
}

// quotaKey returns a key for an entity that does not depend on the order of its
// parts.
func quotaKey(entity []QuotaEntity) string {
	var b strings.Builder
	for _, part := range entity {
		name := "d"
		if part.EntityName != nil {
			name = "n" + *part.EntityName
		}
		fmt.Fprintf(&b, "%d:%s%d:%s", len(part.EntityType), part.EntityType, len(name), name)
	}
	return b.String()
}

func (e *editor) quota(m *ClientQuotaRecord) {
	entity := slices.Clone(m.Entity)
	sort.SliceStable(entity, func(i, j int) bool { return entity[i].EntityType < entity[j].EntityType })
	key := quotaKey(entity)
	e.touched.quotas = append(e.touched.quotas, key)
	q, _ := e.quotas.get(key)
	if m.Remove && q == nil {
		return
	}
	if !e.ownedQuotas[key] || q == nil {
		next := &ClientQuota{Entity: entity, Values: map[string]float64{}}
		if q != nil {
			next.Values = maps.Clone(q.Values)
		}
		q = next
		e.quotas.set(key, q)
		e.ownedQuotas[key] = true
	}
	if !m.Remove {
		q.Values[m.Key] = m.Value
		return
	}
	delete(q.Values, m.Key)
	if len(q.Values) == 0 {
		e.quotas.remove(key)
	}
}
