package replica

import (
	"errors"
	"fmt"
	"slices"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/storage"
)

// Apply applies a change of the committed metadata. img is the image after the
// change, delta the difference. The first call contains everything, with the
// delta from an empty image, after the node has caught up (M12).
//
//  1. Deleted topics, and partitions that moved to other nodes, are deleted.
//     Only this step deletes data (M13): a folder of a topic that is not in the
//     metadata is left unchanged and logged once.
//  2. New partitions get a log in the dir that the metadata names.
//  3. Leader, epochs and ISR are passed to the partitions.
//  4. Changed configs are passed to the partitions and their logs.
//
// The returned error joins the errors of single partitions. Requests to these
// partitions are answered with their error; the other partitions are served.
func (m *Manager) Apply(img *metadata.Image, delta *metadata.Delta) error {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.image.Store(img)
	var errs []error
	for _, d := range delta.Topics {
		errs = append(errs, m.leave(d)...)
		if d.New == nil && img.TopicByName(d.Old.Name) == nil {
			m.options.Metrics.ForgetTopic(d.Old.Name)
		}
	}
	for _, d := range delta.Topics {
		if d.New != nil {
			errs = append(errs, m.enter(img, d)...)
		}
	}
	errs = append(errs, m.reconfigure(img, delta.Configs)...)
	m.logStrays(img)
	return errors.Join(errs...)
}

// Retry opens or creates the logs for which Apply failed, for example for lack
// of space or file descriptors. The owner calls it periodically. It does
// nothing if no log failed.
func (m *Manager) Retry() error {
	m.mu.RLock()
	var waiting []key
	for k, err := range m.failed {
		if storage.Passes(err) {
			waiting = append(waiting, k)
		}
	}
	m.mu.RUnlock()
	if len(waiting) == 0 {
		return nil
	}
	m.applying.Lock()
	defer m.applying.Unlock()
	img := m.image.Load()
	var errs []error
	for _, k := range waiting {
		if t := img.TopicByName(k.topic); t != nil {
			errs = append(errs, m.enter(img, metadata.TopicDelta{New: t, Partitions: []int32{k.partition}})...)
		}
	}
	return errors.Join(errs...)
}

// leave does step 1 for one topic.
func (m *Manager) leave(d metadata.TopicDelta) (errs []error) {
	if d.Old == nil {
		return nil
	}
	var gone []int32
	for _, id := range d.Partitions {
		was := d.Old.Partition(id)
		if was == nil || !slices.Contains(was.Replicas, m.options.NodeID) {
			continue
		}
		if d.New != nil {
			if now := d.New.Partition(id); now != nil && slices.Contains(now.Replicas, m.options.NodeID) {
				continue
			}
		}
		if m.end(d.Old, id) {
			gone = append(gone, id)
		}
	}
	if err := m.options.Storage.Delete(d.Old.Name, gone...); err != nil {
		errs = append(errs, fmt.Errorf("delete %s: %w", d.Old.Name, err))
	}
	return errs
}

// end ends the service of a deleted partition, and tells whether its log must
// be deleted. A log of another topic id with the same name is not touched
// (P14).
func (m *Manager) end(t *metadata.Topic, partition int32) bool {
	k := key{t.Name, partition}
	m.mu.Lock()
	p := m.partitions[k]
	delete(m.failed, k)
	if p != nil && p.tp.TopicID == t.ID {
		delete(m.partitions, k)
	}
	m.mu.Unlock()
	if p != nil && p.tp.TopicID == t.ID {
		p.close(fmt.Errorf("%w: %s-%d was deleted", ErrUnknownTopicOrPartition, t.Name, partition))
	}
	log := m.options.Storage.Log(t.Name, partition)
	return log != nil && log.TP().TopicID == t.ID
}

// enter does steps 2 and 3 for one topic.
func (m *Manager) enter(img *metadata.Image, d metadata.TopicDelta) (errs []error) {
	c, err := m.topicConfig(img, d.New.Name)
	if err != nil {
		errs = append(errs, err)
	}
	for _, id := range d.Partitions {
		now := d.New.Partition(id)
		if now == nil || !slices.Contains(now.Replicas, m.options.NodeID) {
			continue
		}
		p, err := m.obtain(d.New, now, c)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.apply(now, c)
	}
	return errs
}

// topicConfig returns the config of a topic. If the overrides are invalid,
// which the controller should have prevented, it returns the broker's defaults
// and an error.
func (m *Manager) topicConfig(img *metadata.Image, topic string) (config.Topic, error) {
	c, err := m.options.TopicConfig(img.Configs(metadata.ResourceTopic, topic))
	if err == nil {
		return c, nil
	}
	err = fmt.Errorf("config of topic %s: %w", topic, err)
	c, defaultErr := m.options.TopicConfig(nil)
	return c, errors.Join(err, defaultErr)
}

// obtain returns the partition of t, opening or creating its log if necessary.
func (m *Manager) obtain(t *metadata.Topic, part *metadata.Partition, c config.Topic) (*Partition, error) {
	k := key{t.Name, part.ID}
	m.mu.RLock()
	p := m.partitions[k]
	m.mu.RUnlock()
	if p != nil && p.tp.TopicID == t.ID {
		return p, nil
	}
	if p != nil {
		p.close(fmt.Errorf("%w: another topic took the name %s", ErrUnknownTopicOrPartition, t.Name))
	}
	tp := storage.TopicPartition{Topic: t.Name, TopicID: t.ID, Partition: part.ID}
	log, err := m.openLog(tp, part, c)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("%w: log of %s-%d: %w", storage.ErrStorage, t.Name, part.ID, err)
		m.failed[k] = err
		return nil, err
	}
	delete(m.failed, k)
	p = newPartition(tp, &m.options, log)
	m.partitions[k] = p
	if f, offline := m.offline[log.DirID()]; offline {
		p.failOffline(f)
	}
	return p, p.err()
}

// openLog returns the log that was found at start, or creates a new one. A
// folder without a topic id, as left by a crash before its first flush, belongs
// to the topic of its name, as in Kafka. Rejected: setting such a folder aside.
// That would leave one more after each crash, and if the id was lost in another
// way, the records would be lost, too. A log of another topic id with the same
// name was left by a crash between commit and delete: names are unique, so the
// other topic no longer exists. It is set aside, not deleted (M13).
func (m *Manager) openLog(tp storage.TopicPartition, part *metadata.Partition, c config.Topic) (*storage.Log, error) {
	if log := m.options.Storage.Log(tp.Topic, tp.Partition); log != nil {
		if log.TP().TopicID == [16]byte{} {
			if err := log.AssignTopicID(tp.TopicID); err != nil {
				return nil, err
			}
		}
		if log.TP().TopicID == tp.TopicID {
			log.UpdateConfig(c)
			return log, nil
		}
		m.options.Log.Warn("set aside the folder of a topic that was replaced", "topic", tp.Topic, "partition", tp.Partition, "path", log.Path(), "id", metadata.FormatUUID(log.TP().TopicID))
		if err := m.options.Storage.Quarantine(tp.Topic, tp.Partition); err != nil {
			return nil, err
		}
	}
	dir, _ := part.Directory(m.options.NodeID)
	switch dir {
	case metadata.DirLost:
		return nil, errors.New("its log dir is lost")
	case metadata.DirMigrating, metadata.DirUnassigned:
		dir = metadata.UUID{}
	}
	return m.options.Storage.Create(tp, c, dir)
}

// reconfigure does step 4. A change of a broker's config may change the
// defaults of every topic.
func (m *Manager) reconfigure(img *metadata.Image, changed []metadata.ConfigResource) (errs []error) {
	topics := map[string]bool{}
	all := false
	for _, r := range changed {
		switch r.Type {
		case metadata.ResourceTopic:
			topics[r.Name] = true
		case metadata.ResourceBroker:
			all = true
		}
	}
	if len(topics) == 0 && !all {
		return nil
	}
	configs := map[string]config.Topic{}
	for p := range m.All() {
		if !all && !topics[p.tp.Topic] {
			continue
		}
		c, ok := configs[p.tp.Topic]
		if !ok {
			var err error
			if c, err = m.topicConfig(img, p.tp.Topic); err != nil {
				errs = append(errs, err)
			}
			configs[p.tp.Topic] = c
		}
		p.configure(c)
	}
	return errs
}

// logStrays logs the folders whose topic is not in the metadata, once.
func (m *Manager) logStrays(img *metadata.Image) {
	if m.strays {
		return
	}
	m.strays = true
	for log := range m.options.Storage.All() {
		tp := log.TP()
		if t := img.TopicByID(tp.TopicID); t == nil || t.Partition(tp.Partition) == nil {
			m.options.Log.Warn("the topic of a folder is not in the metadata; the folder is left unchanged", "topic", tp.Topic, "partition", tp.Partition, "id", metadata.FormatUUID(tp.TopicID), "path", log.Path())
		}
	}
}
