package protocol

import "encoding/binary"

// writer appends Kafka's primitive types, and the structures that Produce and
// Fetch responses share.
type writer struct {
	dst      []byte
	flexible bool
}

func (w *writer) int16(v int16) { w.dst = binary.BigEndian.AppendUint16(w.dst, uint16(v)) }
func (w *writer) int32(v int32) { w.dst = binary.BigEndian.AppendUint32(w.dst, uint32(v)) }
func (w *writer) int64(v int64) { w.dst = binary.BigEndian.AppendUint64(w.dst, uint64(v)) }

// arrayLen begins an array, or bytes, of n elements.
func (w *writer) arrayLen(n int) {
	if w.flexible {
		w.dst = binary.AppendUvarint(w.dst, uint64(n)+1)
	} else {
		w.int32(int32(n))
	}
}

func (w *writer) nullArray() {
	if w.flexible {
		w.dst = append(w.dst, 0)
	} else {
		w.int32(-1)
	}
}

// string writes at most maxString bytes: a name of a request, or an error
// message.
func (w *writer) string(s string) {
	if len(s) > maxString {
		s = Cut(s, maxErrorText)
	}
	if w.flexible {
		w.dst = binary.AppendUvarint(w.dst, uint64(len(s))+1)
	} else {
		w.int16(int16(len(s)))
	}
	w.dst = append(w.dst, s...)
}

func (w *writer) nullableString(s *string) {
	switch {
	case s != nil:
		w.string(*s)
	case w.flexible:
		w.dst = append(w.dst, 0)
	default:
		w.int16(-1)
	}
}

// topic names a topic, by its id or by its name.
func (w *writer) topic(byID bool, name string, id [16]byte) {
	if byID {
		w.dst = append(w.dst, id[:]...)
	} else {
		w.string(name)
	}
}

// tags ends a structure that has n tagged fields, which follow.
func (w *writer) tags(n int) {
	if w.flexible {
		w.dst = append(w.dst, byte(n))
	}
}

// tag begins the tagged field of a number and a size in bytes.
func (w *writer) tag(number, size int) {
	w.dst = binary.AppendUvarint(w.dst, uint64(number))
	w.dst = binary.AppendUvarint(w.dst, uint64(size))
}

// currentLeader is the tagged field of that name.
func (w *writer) currentLeader(number int, l *LeaderIDAndEpoch) {
	w.tag(number, 4+4+1)
	w.int32(l.LeaderID)
	w.int32(l.LeaderEpoch)
	w.tags(0)
}

// nodeEndpoints ends a response, whose tagged field 0 they are.
func (w *writer) nodeEndpoints(served bool, nodes []NodeEndpoint) {
	if !served || len(nodes) == 0 {
		w.tags(0)
		return
	}
	w.tags(1)
	field := writer{flexible: true}
	field.arrayLen(len(nodes))
	for i := range nodes {
		field.int32(nodes[i].NodeID)
		field.string(nodes[i].Host)
		field.int32(nodes[i].Port)
		field.nullableString(nodes[i].Rack)
		field.tags(0)
	}
	w.tag(0, len(field.dst))
	w.dst = append(w.dst, field.dst...)
}
