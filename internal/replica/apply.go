package replica

import (
	"errors"
	"fmt"
	"slices"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/storage"
)

// Apply follows a change of the committed metadata: img is the whole after it,
// delta what it changed. The first call brings everything at once, with the
// delta from an empty image, after the node has caught up (M12).
//
//  1. Topics that went, and partitions that moved away, are deleted. This and
//     nothing else deletes data (M13): a folder of a topic that the metadata
//     does not know is left as it is, and logged once.
//  2. Partitions that came get a log, in the dir that the metadata names.
//  3. Leader, epochs and ISR are handed to the partitions.
//  4. Changed configs are handed to the partitions and their logs.
//
// The error joins what went wrong with single partitions, whose requests are
// answered with it; the others are served.
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

// Retry opens or makes the logs that could not be when the metadata named them,
// for want of space or of file descriptors. Its owner calls it from time to time;
// there is nothing to do unless one was wanting.
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

// leave is step 1 for one topic.
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

// end ends the service of a partition that is deleted, and tells whether its
// log is to go. A log of another topic id under the same name is not touched
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

// enter is steps 2 and 3 for one topic.
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

// topicConfig is the config of a topic. Overrides that cannot be read, which
// the controller should have refused, leave the broker's defaults.
func (m *Manager) topicConfig(img *metadata.Image, topic string) (config.Topic, error) {
	c, err := m.options.TopicConfig(img.Configs(metadata.ResourceTopic, topic))
	if err == nil {
		return c, nil
	}
	err = fmt.Errorf("config of topic %s: %w", topic, err)
	c, defaultErr := m.options.TopicConfig(nil)
	return c, errors.Join(err, defaultErr)
}

// obtain returns the partition of t, opening or making its log when needed.
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

// openLog takes the log that was found at start, or makes a new one. A folder
// that names no topic, as a crash before its first flush leaves one, is the
// topic's of its name, as in Kafka: put aside, there would be one more after
// each crash, and where the name was lost otherwise, its records with it. A log of
// another topic under the same name is what a crash between commit and delete
// left: names are unique, so the other topic is gone. It is put aside, not
// deleted (M13).
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
		m.options.Log.Warn("put aside the folder of a topic that was replaced", "topic", tp.Topic, "partition", tp.Partition, "path", log.Path(), "id", metadata.FormatUUID(log.TP().TopicID))
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

// reconfigure is step 4. A change of a broker's config may change the default
// of every topic.
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

// logStrays names the folders whose topic the metadata does not know, once.
func (m *Manager) logStrays(img *metadata.Image) {
	if m.strays {
		return
	}
	m.strays = true
	for log := range m.options.Storage.All() {
		tp := log.TP()
		if t := img.TopicByID(tp.TopicID); t == nil || t.Partition(tp.Partition) == nil {
			m.options.Log.Warn("a folder of no topic that the cluster knows is left as it is", "topic", tp.Topic, "partition", tp.Partition, "id", metadata.FormatUUID(tp.TopicID), "path", log.Path())
		}
	}
}
