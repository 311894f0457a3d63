package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// keyMap maps record keys to the offset of their last record, in limited memory: 24 bytes
// per key, independent of its length.
//
//	hash    16 bytes  the first half of the key's SHA-256
//	offset   8 bytes  plus one, so that an empty slot is all zero
//
// The key itself is not stored. So two keys with the same hash would count as one, and a
// record would be lost. With 128 bits of a cryptographic hash this needs about 2⁶⁴ keys,
// by accident or on purpose. Kafka uses MD5, for which two such keys can be made in a
// second. Processors have instructions for SHA-256, so it is not slower.
//
// The table uses linear probing, which stays within a few cache lines up to the load
// factors that Kafka allows. It starts small and grows by a factor of eight, so a log
// with few keys needs little memory. While a table is copied, both exist. The last step
// leaves space for the old table, at most a ninth, so that both together never exceed
// the limit.
type keyMap struct {
	slots []keySlot
	count int
	room  int // maximum of count: slots times the load factor
	limit int // maximum number of slots of all tables together
	load  float64
	// latest is the offset of the last added record, -1: none.
	latest int64
}

type keySlot struct {
	high, low uint64
	next      int64 // offset + 1; 0: empty
}

const (
	keySlotBytes = 24
	keyMapStart  = 1 << 10 // slots
	keyMapGrowth = 8
)

// newKeyMap makes a map of at most maxBytes with a load factor.
func newKeyMap(maxBytes int64, load float64) *keyMap {
	m := &keyMap{limit: int(max(maxBytes/keySlotBytes, 2)), load: load, latest: noOffset}
	size := keyMapStart
	if m.limit < (keyMapGrowth+1)*size {
		size = m.limit // not enough for two tables
	}
	m.use(make([]keySlot, size))
	return m
}

func (m *keyMap) use(slots []keySlot) {
	m.slots = slots
	m.room = max(1, min(int(float64(len(slots))*m.load), len(slots)-1))
}

// put sets the offset of a key. It returns false if the map is full and the key is not in
// it. Offsets ascend.
func (m *keyMap) put(key []byte, offset int64) bool {
	high, low := hashKey(key)
	at := m.find(high, low)
	if m.slots[at].next == 0 {
		if m.count == m.room {
			if !m.grow() {
				return false
			}
			at = m.find(high, low)
		}
		m.count++
	}
	m.slots[at] = keySlot{high, low, offset + 1}
	return true
}

// get returns the offset of the last record with the key, -1 if there is none.
func (m *keyMap) get(key []byte) int64 { return m.slots[m.find(hashKey(key))].next - 1 }

// find returns the slot of a hash, or the empty slot for it. There is always one.
func (m *keyMap) find(high, low uint64) int {
	first, _ := bits.Mul64(high, uint64(len(m.slots)))
	at := int(first)
	for {
		s := &m.slots[at]
		if s.next == 0 || s.high == high && s.low == low {
			return at
		}
		if at++; at == len(m.slots) {
			at = 0
		}
	}
}

// grow enlarges the table. It returns false if the limit does not allow it.
func (m *keyMap) grow() bool {
	size := keyMapGrowth * len(m.slots)
	if (keyMapGrowth+1)*size > m.limit {
		size = m.limit - len(m.slots) // the last step: a further one would exceed the limit
	}
	if size <= len(m.slots) {
		return false
	}
	old := m.slots
	m.use(make([]keySlot, size))
	for _, s := range old {
		if s.next != 0 {
			m.slots[m.find(s.high, s.low)] = s
		}
	}
	return m.count < m.room
}

func hashKey(key []byte) (high, low uint64) {
	sum := sha256.Sum256(key)
	return binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])
}
