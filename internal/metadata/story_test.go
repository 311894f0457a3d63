package metadata

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// story generates random batches of valid records and maintains a naive model
// of their meaning: plain maps, changed in place.
type story struct {
	r     *rand.Rand
	model model
	next  int // for unique ids
	steps []func(*story) []Message
}

type model struct {
	topics  map[string]*modelTopic // by name
	brokers map[int32]*Broker
	rest    map[string]string // everything else, as flatten prints it
}

type modelTopic struct {
	id         UUID
	partitions []*Partition
}

func newStory(seed uint64) *story {
	s := &story{r: rand.New(rand.NewPCG(seed, 1))}
	s.model = model{topics: map[string]*modelTopic{}, brokers: map[int32]*Broker{}, rest: map[string]string{"producer id": "-1"}}
	s.steps = []func(*story) []Message{
		(*story).createTopic, (*story).createTopic, (*story).changePartition, (*story).changePartition,
		(*story).deleteTopic, (*story).registerBroker, (*story).changeBroker, (*story).config, (*story).config,
		(*story).quota, (*story).feature, (*story).security, (*story).cluster, (*story).clearELR,
	}
	return s
}

// batch returns the records of one to five random steps.
func (s *story) batch() (records []Message) {
	for range 1 + s.r.IntN(5) {
		records = append(records, s.steps[s.r.IntN(len(s.steps))](s)...)
	}
	return append(records, &NoOpRecord{})
}

func (m *model) flat() map[string]string {
	out := map[string]string{}
	for key, value := range m.rest {
		out[key] = value
	}
	for name, t := range m.topics {
		out["topic "+name] = FormatUUID(t.id)
		for _, p := range t.partitions {
			out[fmt.Sprintf("partition %s-%d", name, p.ID)] = fmt.Sprintf("%+v", *p)
		}
	}
	for id, b := range m.brokers {
		rack := "none"
		if b.Rack != nil {
			rack = *b.Rack
		}
		c := *b
		c.Rack = nil
		out[fmt.Sprintf("broker %d", id)] = fmt.Sprintf("%+v rack=%q", c, rack)
	}
	return out
}

func (s *story) id() UUID {
	s.next++
	return UUID{0: byte(s.r.IntN(256)), 7: byte(s.next >> 8), 8: byte(s.next)}
}

func (s *story) topicName() string { return fmt.Sprintf("topic-%d", s.r.IntN(12)) }

func (s *story) ints() []int32 {
	return [][]int32{nil, {1}, {1, 2}, {3, 1, 2}}[s.r.IntN(4)]
}

func (s *story) createTopic() []Message {
	name := s.topicName()
	if s.model.topics[name] != nil {
		return nil
	}
	t := &modelTopic{id: s.id()}
	s.model.topics[name] = t
	records := []Message{&TopicRecord{Name: name, TopicID: t.id}}
	for i := range int32(s.r.IntN(20)) {
		p := &Partition{ID: i, Replicas: []int32{2, 1}, Directories: []UUID{s.id(), s.id()}, ISR: s.ints(), ELR: s.ints(),
			LastKnownELR: s.ints(), Removing: s.ints(), Adding: s.ints(), Leader: 1, LeaderEpoch: i, PartitionEpoch: 2 * i, Recovering: i%3 == 0}
		t.partitions = append(t.partitions, p)
		m := &PartitionRecord{PartitionID: i, TopicID: t.id, Replicas: p.Replicas, Directories: p.Directories, ISR: p.ISR,
			EligibleLeaderReplicas: p.ELR, LastKnownELR: p.LastKnownELR, RemovingReplicas: p.Removing, AddingReplicas: p.Adding,
			Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch}
		if p.Recovering {
			m.LeaderRecoveryState = 1
		}
		records = append(records, m)
	}
	return records
}

func (s *story) changePartition() []Message {
	t := s.model.topics[s.topicName()]
	if t == nil || len(t.partitions) == 0 {
		return nil
	}
	p := t.partitions[s.r.IntN(len(t.partitions))]
	m := NewPartitionChangeRecord()
	m.PartitionID, m.TopicID = p.ID, t.id
	p.PartitionEpoch++
	if s.r.IntN(2) == 0 {
		m.Leader = int32(s.r.IntN(3)) - 1
		p.Leader = m.Leader
		p.LeaderEpoch++
	}
	if s.r.IntN(2) == 0 {
		m.LeaderRecoveryState = int8(s.r.IntN(2))
		p.Recovering = m.LeaderRecoveryState == 1
	}
	for i, list := range []*[]int32{&p.ISR, &p.Removing, &p.Adding, &p.ELR, &p.LastKnownELR} {
		change := s.ints()
		if change == nil {
			continue
		}
		if s.r.IntN(3) == 0 {
			change = []int32{}
		}
		*[]*[]int32{&m.ISR, &m.RemovingReplicas, &m.AddingReplicas, &m.EligibleLeaderReplicas, &m.LastKnownELR}[i] = change
		*list = slices.Clone(change)
	}
	if s.r.IntN(3) == 0 {
		m.Replicas, m.Directories = []int32{1, 2, 3}, []UUID{s.id(), s.id(), s.id()}
		p.Replicas, p.Directories = m.Replicas, m.Directories
	}
	return []Message{m}
}

func (s *story) deleteTopic() []Message {
	name := s.topicName()
	t := s.model.topics[name]
	if t == nil || s.r.IntN(2) == 0 {
		return nil
	}
	delete(s.model.topics, name)
	for _, config := range []string{"a", "b"} {
		delete(s.model.rest, fmt.Sprintf("config %d %q %s", ResourceTopic, name, config))
	}
	return []Message{&RemoveTopicRecord{TopicID: t.id}}
}

func (s *story) clearELR() []Message {
	name := s.topicName()
	switch {
	case s.r.IntN(3) == 0:
		name = ""
	case s.model.topics[name] == nil:
		return nil
	}
	for topic, t := range s.model.topics {
		for _, p := range t.partitions {
			if name == "" || topic == name {
				p.ELR, p.LastKnownELR = nil, nil
			}
		}
	}
	return []Message{&ClearElrRecord{TopicName: name}}
}

func (s *story) registerBroker() []Message {
	s.next++
	rack := "r"
	m := &RegisterBrokerRecord{BrokerID: int32(s.r.IntN(4)), BrokerEpoch: int64(s.next), IncarnationID: s.id(), Fenced: true,
		EndPoints: []BrokerEndpoint{{Name: "PLAINTEXT", Host: "h", Port: 9092}}, LogDirs: []UUID{{1}, {2}}}
	if s.r.IntN(2) == 0 {
		m.Rack = &rack
		m.CordonedLogDirs = []UUID{}
	}
	s.model.brokers[m.BrokerID] = &Broker{ID: m.BrokerID, Epoch: m.BrokerEpoch, IncarnationID: m.IncarnationID, Listeners: m.EndPoints,
		Rack: m.Rack, Fenced: true, LogDirs: m.LogDirs, CordonedLogDirs: m.CordonedLogDirs}
	return []Message{m}
}

func (s *story) changeBroker() []Message {
	b := s.model.brokers[int32(s.r.IntN(4))]
	if b == nil {
		return nil
	}
	switch s.r.IntN(5) {
	case 0:
		delete(s.model.brokers, b.ID)
		return []Message{&UnregisterBrokerRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch}}
	case 1:
		b.Fenced = true
		return []Message{&FenceBrokerRecord{ID: b.ID, Epoch: b.Epoch}}
	case 2:
		b.Fenced = false
		return []Message{&UnfenceBrokerRecord{ID: b.ID, Epoch: b.Epoch}}
	}
	m := &BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch, Fenced: int8(s.r.IntN(3) - 1), InControlledShutdown: int8(s.r.IntN(2))}
	if m.Fenced != 0 {
		b.Fenced = m.Fenced > 0
	}
	b.InControlledShutdown = b.InControlledShutdown || m.InControlledShutdown == 1
	if s.r.IntN(2) == 0 {
		m.LogDirs, m.CordonedLogDirs = []UUID{{9}, {3}}, []UUID{{9}}
		b.LogDirs, b.CordonedLogDirs = []UUID{{3}, {9}}, []UUID{{9}}
	}
	return []Message{m}
}

func (s *story) config() []Message {
	m := &ConfigRecord{ResourceType: []int8{ResourceTopic, ResourceBroker}[s.r.IntN(2)], ResourceName: s.topicName(), Name: []string{"a", "b"}[s.r.IntN(2)]}
	key := fmt.Sprintf("config %d %q %s", m.ResourceType, m.ResourceName, m.Name)
	if s.r.IntN(3) == 0 {
		delete(s.model.rest, key)
		return []Message{m}
	}
	value := fmt.Sprint(s.r.IntN(3))
	m.Value = &value
	s.model.rest[key] = value
	return []Message{m}
}

func (s *story) quota() []Message {
	user := s.topicName()
	entity := []QuotaEntity{{EntityType: "user", EntityName: &user}, {EntityType: "client-id"}}
	sorted := []QuotaEntity{entity[1], entity[0]}
	m := &ClientQuotaRecord{Entity: entity, Key: []string{"a", "b"}[s.r.IntN(2)], Remove: s.r.IntN(3) == 0}
	key := "quota " + quotaKey(sorted) + " " + m.Key
	if m.Remove {
		delete(s.model.rest, key)
		return []Message{m}
	}
	m.Value = float64(s.r.IntN(3))
	s.model.rest[key] = fmt.Sprint(m.Value)
	return []Message{m}
}

func (s *story) feature() []Message {
	m := &FeatureLevelRecord{Name: []string{FeatureMetadataVersion, FeatureGroupVersion}[s.r.IntN(2)], FeatureLevel: int16(s.r.IntN(3))}
	s.model.rest["feature "+m.Name] = fmt.Sprint(m.FeatureLevel)
	if m.FeatureLevel == 0 {
		delete(s.model.rest, "feature "+m.Name)
	}
	return []Message{m}
}

func (s *story) security() []Message {
	switch s.r.IntN(4) {
	case 0:
		a := &AccessControlEntryRecord{ID: s.id(), ResourceName: "t"}
		s.model.rest["acl "+FormatUUID(a.ID)] = Format(a)
		if s.r.IntN(3) == 0 {
			delete(s.model.rest, "acl "+FormatUUID(a.ID))
			return []Message{a, &RemoveAccessControlEntryRecord{ID: a.ID}}
		}
		return []Message{a}
	case 1:
		c := &UserScramCredentialRecord{Name: s.topicName(), Mechanism: int8(1 + s.r.IntN(2)), Salt: []byte{1}, Iterations: int32(s.r.IntN(9))}
		s.model.rest[fmt.Sprintf("scram %q %d", c.Name, c.Mechanism)] = Format(c)
		return []Message{c}
	case 2:
		name, mechanism := s.topicName(), int8(1+s.r.IntN(2))
		delete(s.model.rest, fmt.Sprintf("scram %q %d", name, mechanism))
		return []Message{&RemoveUserScramCredentialRecord{Name: name, Mechanism: mechanism}}
	}
	token := &DelegationTokenRecord{TokenID: s.topicName(), Owner: "o", MaxTimestamp: int64(s.r.IntN(4))}
	if s.r.IntN(2) == 0 {
		delete(s.model.rest, "token "+token.TokenID)
		return []Message{&RemoveDelegationTokenRecord{TokenID: token.TokenID}}
	}
	s.model.rest["token "+token.TokenID] = Format(token)
	return []Message{token}
}

func (s *story) cluster() []Message {
	if s.r.IntN(2) == 0 {
		s.next++
		s.model.rest["producer id"] = fmt.Sprint(s.next * 1000)
		return []Message{&ProducerIdsRecord{NextProducerID: int64(s.next * 1000)}}
	}
	c := &RegisterControllerRecord{ControllerID: int32(s.r.IntN(3)), IncarnationID: s.id()}
	s.model.rest[fmt.Sprintf("controller %d", c.ControllerID)] = Format(c)
	return []Message{c}
}
