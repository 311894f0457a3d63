package metadata

import "slices"

// topicEdit is a topic whose partitions are being edited.
type topicEdit struct {
	topic      *Topic // the topic before the edit
	partitions mapEdit[int32, *Partition]
}

func (e *editor) foldTopic(m Message) error {
	switch m := m.(type) {
	case *TopicRecord:
		return e.createTopic(m)
	case *PartitionRecord:
		return e.partition(m)
	case *PartitionChangeRecord:
		return e.partitionChange(m)
	case *RemoveTopicRecord:
		return e.removeTopic(m)
	case *ClearElrRecord:
		return e.clearELR(m)
	}
	return nil
}

// editTopic begins or continues the edit of a topic; nil if no topic has that
// id.
func (e *editor) editTopic(id UUID) *topicEdit {
	key := idKey(id)
	if t := e.open[key]; t != nil {
		return t
	}
	topic, ok := e.topics.get(key)
	if !ok {
		return nil
	}
	t := &topicEdit{topic: topic, partitions: topic.partitions.edit()}
	e.open[key] = t
	e.touched.topics = append(e.touched.topics, id)
	return t
}

// closeTopics puts the edited topics into the maps of topics.
func (e *editor) closeTopics() {
	for _, id := range e.touched.topics {
		key := idKey(id)
		t := e.open[key]
		if t == nil {
			continue // deleted again, or listed twice
		}
		delete(e.open, key)
		e.putTopic(&Topic{Name: t.topic.Name, ID: id, partitions: t.partitions.freeze()})
	}
}

func (e *editor) putTopic(t *Topic) {
	e.topics.set(idKey(t.ID), t)
	e.topicNames.set(t.Name, t)
}

func (e *editor) createTopic(m *TopicRecord) error {
	if t, ok := e.topicNames.get(m.Name); ok {
		return inconsistent("the name has the topic %s already", FormatUUID(t.ID))
	}
	if _, ok := e.topics.get(idKey(m.TopicID)); ok {
		return inconsistent("the id has a topic already")
	}
	e.putTopic(&Topic{Name: m.Name, ID: m.TopicID})
	e.editTopic(m.TopicID)
	return nil
}

// removeTopic removes a topic, its partitions and its configs.
func (e *editor) removeTopic(m *RemoveTopicRecord) error {
	t := e.editTopic(m.TopicID)
	if t == nil {
		return inconsistent("no topic of that id")
	}
	delete(e.open, idKey(m.TopicID))
	e.topics.remove(idKey(m.TopicID))
	e.topicNames.remove(t.topic.Name)
	e.removeConfigs(ConfigResource{ResourceTopic, t.topic.Name})
	return nil
}

func (e *editor) partition(m *PartitionRecord) error {
	t := e.editTopic(m.TopicID)
	if t == nil {
		return inconsistent("no topic of that id")
	}
	directories, err := checkDirectories(m.Directories, m.Replicas)
	if err != nil {
		return err
	}
	t.partitions.set(m.PartitionID, &Partition{
		ID: m.PartitionID, Replicas: orNil(m.Replicas), Directories: directories, ISR: orNil(m.ISR),
		ELR: orNil(m.EligibleLeaderReplicas), LastKnownELR: orNil(m.LastKnownELR),
		Removing: orNil(m.RemovingReplicas), Adding: orNil(m.AddingReplicas),
		Leader: m.Leader, LeaderEpoch: m.LeaderEpoch, PartitionEpoch: m.PartitionEpoch,
		Recovering: m.LeaderRecoveryState != 0,
	})
	return nil
}

// partitionChange makes the next state of a partition. Every record increments
// the partition epoch. Every record that names a leader, even the same one,
// increments the leader epoch (R2).
func (e *editor) partitionChange(m *PartitionChangeRecord) error {
	t := e.editTopic(m.TopicID)
	if t == nil {
		return inconsistent("no topic of that id")
	}
	old, ok := t.partitions.get(m.PartitionID)
	if !ok {
		return inconsistent("no such partition")
	}
	next := *old
	next.PartitionEpoch++
	if m.Leader != NoLeaderChange {
		next.Leader = m.Leader
		next.LeaderEpoch++
	}
	if m.LeaderRecoveryState >= 0 {
		next.Recovering = m.LeaderRecoveryState != 0
	}
	replace(&next.ISR, m.ISR)
	replace(&next.Replicas, m.Replicas)
	replace(&next.Removing, m.RemovingReplicas)
	replace(&next.Adding, m.AddingReplicas)
	replace(&next.ELR, m.EligibleLeaderReplicas)
	replace(&next.LastKnownELR, m.LastKnownELR)
	directories := m.Directories
	if directories == nil {
		directories = old.Directories
	}
	var err error
	if next.Directories, err = checkDirectories(directories, next.Replicas); err != nil {
		return err
	}
	t.partitions.set(next.ID, &next)
	return nil
}

// clearELR empties the ELRs of one topic or of all topics without a new
// partition epoch, like Kafka.
func (e *editor) clearELR(m *ClearElrRecord) error {
	if m.TopicName != "" {
		t, ok := e.topicNames.get(m.TopicName)
		if !ok {
			return inconsistent("no topic of that name")
		}
		e.clearTopicELR(t)
		return nil
	}
	for _, t := range e.topicNames.current().All() {
		e.clearTopicELR(t)
	}
	return nil
}

func (e *editor) clearTopicELR(topic *Topic) {
	partitions := topic.partitions
	if t := e.open[idKey(topic.ID)]; t != nil {
		partitions = t.partitions.current()
	}
	var cleared []*Partition
	for _, p := range partitions.All() {
		if len(p.ELR)+len(p.LastKnownELR) > 0 {
			next := *p
			next.ELR, next.LastKnownELR = nil, nil
			cleared = append(cleared, &next)
		}
	}
	for _, p := range cleared {
		e.editTopic(topic.ID).partitions.set(p.ID, p)
	}
}

// checkDirectories returns the log dir of each replica: those of the record, or
// DirMigrating for all if the record has none.
func checkDirectories(directories []UUID, replicas []int32) ([]UUID, error) {
	if !slices.ContainsFunc(directories, func(id UUID) bool { return id != DirMigrating }) {
		return make([]UUID, len(replicas)), nil
	}
	if len(directories) != len(replicas) {
		return nil, inconsistent("%d directories for %d replicas", len(directories), len(replicas))
	}
	return directories, nil
}

// replace sets a list from a change record. nil means no change; an empty list
// clears it.
func replace(list *[]int32, change []int32) {
	if change != nil {
		*list = orNil(change)
	}
}

// orNil converts an empty list to nil, so that equal states compare equal.
func orNil(list []int32) []int32 {
	if len(list) == 0 {
		return nil
	}
	return list
}
