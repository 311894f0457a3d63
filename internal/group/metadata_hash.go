package group

import (
	"encoding/binary"
	"maps"
	"slices"
	"unicode/utf16"

	"github.com/zeebo/xxh3"

	"ottla/internal/metadata"
)

// topicHashes computes metadata hashes: Kafka's digest of all that an
// assignment depends on of the topics subscribed to. It keeps those of topics,
// which are immutable, so that an unchanged one costs a look-up.
type topicHashes struct {
	image  *metadata.Image
	racks  map[int32]string // of the brokers that have one
	topics map[string]topicHash
}

type topicHash struct {
	topic *metadata.Topic
	hash  int64
}

// of is the metadata hash of a group that subscribes to names, ascending; 0
// when none of them exists. Layout of what is hashed by XXH3 (64 bits, seed 0, as
// hash4j's in Kafka): the int64 hashes of the topics, in the order of their names.
func (h *topicHashes) of(image *metadata.Image, names []string) int64 {
	h.see(image)
	var all []byte
	for _, name := range names {
		if t := image.TopicByName(name); t != nil {
			all = binary.LittleEndian.AppendUint64(all, uint64(h.ofTopic(t)))
		}
	}
	if len(all) == 0 {
		return 0
	}
	return int64(xxh3.Hash(all))
}

// see forgets what an older image says about racks and topics.
func (h *topicHashes) see(image *metadata.Image) {
	if h.image == image {
		return
	}
	racks := map[int32]string{}
	for b := range image.Brokers() {
		if b.Rack != nil {
			racks[b.ID] = *b.Rack
		}
	}
	if h.topics == nil || !maps.Equal(racks, h.racks) {
		h.topics = map[string]topicHash{}
	}
	maps.DeleteFunc(h.topics, func(name string, t topicHash) bool { return image.TopicByName(name) != t.topic })
	h.image, h.racks = image, racks
}

// ofTopic hashes a topic. Layout, integers little-endian:
//
//	byte 0, topic id as two int64, name, int32 partitions,
//	then per partition: int32 id, and per rack of its replicas, ascending:
//	int32 length in UTF-16 units, rack
//
// A string is its UTF-16 units and their number as int32.
func (h *topicHashes) ofTopic(t *metadata.Topic) int64 {
	if known, ok := h.topics[t.Name]; ok && known.topic == t {
		return known.hash
	}
	b := []byte{0}
	b = binary.LittleEndian.AppendUint64(b, binary.BigEndian.Uint64(t.ID[:8]))
	b = binary.LittleEndian.AppendUint64(b, binary.BigEndian.Uint64(t.ID[8:]))
	b = appendUTF16(b, t.Name)
	b = binary.LittleEndian.AppendUint32(b, uint32(t.NumPartitions()))
	for p := range t.Partitions() {
		b = binary.LittleEndian.AppendUint32(b, uint32(p.ID))
		var racks []string
		for _, replica := range p.Replicas {
			if rack, ok := h.racks[replica]; ok {
				racks = append(racks, rack)
			}
		}
		slices.Sort(racks)
		for _, rack := range racks {
			b = binary.LittleEndian.AppendUint32(b, uint32(len(utf16.Encode([]rune(rack)))))
			b = appendUTF16(b, rack)
		}
	}
	hash := int64(xxh3.Hash(b))
	h.topics[t.Name] = topicHash{t, hash}
	return hash
}

func appendUTF16(b []byte, s string) []byte {
	units := utf16.Encode([]rune(s))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return binary.LittleEndian.AppendUint32(b, uint32(len(units)))
}
