package node

import (
	"encoding/binary"
	"path/filepath"
	"strings"

	"ottla/internal/record"
	"ottla/internal/storage"
)

// internalTopics counts groups and open transactions. They are in the logs of
// Kafka's internal topics.
func (c *checker) internalTopics() {
	groups, transactions := liveRecords{}, liveRecords{}
	share := 0
	for i := range c.dirs {
		for _, name := range c.dirs[i].Partitions {
			if t, ok := c.topicOf(c.dirs[i].Path, name); !ok || t == nil || strings.HasSuffix(name, "-delete") {
				continue
			}
			folder := filepath.Join(c.dirs[i].Path, name)
			var err error
			switch {
			case strings.HasPrefix(name, "__consumer_offsets-"):
				err = c.read(folder, groups)
			case strings.HasPrefix(name, "__transaction_state-"):
				err = c.read(folder, transactions)
			case strings.HasPrefix(name, "__share_group_state-"):
				share++
			}
			if err != nil {
				c.problem("see 'ottla storage verify "+c.dirs[i].Path+"'", "%s cannot be read: %v", folder, err)
			}
		}
	}
	c.countGroups(groups)
	for _, value := range transactions {
		if openTransaction(value) {
			c.result.Counts.OpenTransactions++
		}
	}
	counts := c.result.Counts
	if counts.OpenTransactions > 0 {
		c.note("end them with Kafka first, or let Kafka end them when it has the folder back", "%d transactions are open: readers of committed records stop before them, since Ottla does not serve transactions yet", counts.OpenTransactions)
	}
	if counts.ShareGroups > 0 || share > 0 {
		c.note("", "%d share groups are kept for Kafka, with the state in __share_group_state: Ottla does not serve them yet", counts.ShareGroups)
	}
	if counts.StreamsGroups > 0 {
		c.note("", "%d streams groups are kept for Kafka: Ottla does not serve them yet", counts.StreamsGroups)
	}
}

// liveRecords holds the newest value of each key of a compacted topic. Only the
// first bytes of a value are kept.
type liveRecords map[string][]byte

// keptOfValue is how many bytes of a value are kept. openTransaction needs no
// more.
const keptOfValue = 32

func (l liveRecords) add(key, value []byte) {
	if value == nil {
		delete(l, string(key))
		return
	}
	l[string(key)] = append([]byte(nil), value[:min(len(value), keptOfValue)]...)
}

// read reads the segments of a partition.
func (c *checker) read(folder string, into liveRecords) error {
	o := storage.DumpOptions{FS: c.fs, Codecs: c.codecs, Records: true, Data: true, Decode: func(_ string, control bool, r *record.Record) []storage.DumpField {
		if !control {
			into.add(r.Key, r.Value)
		}
		return []storage.DumpField{}
	}}
	entries, err := c.fs.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".log" {
			continue
		}
		if err := storage.Dump(filepath.Join(folder, e.Name()), o, func(storage.DumpLine) error { return nil }); err != nil {
			if !c.result.Clean { // the next start removes a torn end
				continue
			}
			return err
		}
	}
	return nil
}

// The key types in __consumer_offsets: the first two bytes of each key. The
// group id follows.
const (
	lastConsumerKey = 8 // offsets, classic and consumer groups
	firstShareKey   = 9
	lastShareKey    = 15
	regexpKey       = 16 // of a consumer group
)

// countGroups counts the groups of each type that have a record.
func (c *checker) countGroups(records liveRecords) {
	consumer, share, streams := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for key := range records {
		if len(key) < 4 {
			continue
		}
		kind, size := binary.BigEndian.Uint16([]byte(key)), int(binary.BigEndian.Uint16([]byte(key[2:])))
		if len(key) < 4+size {
			continue
		}
		group := key[4 : 4+size]
		switch {
		case kind <= lastConsumerKey || kind == regexpKey:
			consumer[group] = true
		case kind >= firstShareKey && kind <= lastShareKey:
			share[group] = true
		default:
			streams[group] = true
		}
	}
	c.result.Counts.Groups, c.result.Counts.ShareGroups, c.result.Counts.StreamsGroups = len(consumer), len(share), len(streams)
}

// openTransaction reads the status of a TransactionLogValue: version int16,
// producer id int64, epoch int16, timeout int32, status int8.
func openTransaction(value []byte) bool {
	const statusAt = 2 + 8 + 2 + 4
	if len(value) <= statusAt {
		return false
	}
	switch value[statusAt] {
	case 1, 2, 3, 7: // Ongoing, PrepareCommit, PrepareAbort, PrepareEpochFence
		return true
	}
	return false
}
