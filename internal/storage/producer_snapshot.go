package storage

import (
	"encoding/binary"
	"hash/crc32"
)

// A producer snapshot, NNNNNNNNNNNNNNNNNNNN.snapshot, is the state of the producers before
// the offset in its name:
//
//	0  version  int16   1
//	2  CRC-32C  uint32  of all bytes from byte 6
//	6  count    int32   number of entries, then each entry:
//
//	 0  producer id               int64
//	 8  producer epoch            int16
//	10  last sequence             int32  -1: no batch in this epoch
//	14  last offset               int64  -1: no batch in this epoch
//	22  offset delta              int32  of the last batch
//	26  timestamp                 int64  of the last batch or marker, ms
//	34  coordinator epoch         int32  of the last marker, -1: none
//	38  first offset of open txn  int64  -1: none
//
// It has only the last batch of a producer. So after a restart a retry of an earlier batch
// is out of order, as in Kafka.
const (
	snapshotVersion   = 1
	snapshotCRCAt     = 2
	snapshotCountAt   = 6
	snapshotHeaderLen = 10
	snapshotEntryLen  = 46
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshotBytes returns the size of a snapshot with a number of producers.
func snapshotBytes(producers int) int64 {
	return snapshotHeaderLen + int64(producers)*snapshotEntryLen
}

// encodeSnapshot writes the producers in the order given.
func encodeSnapshot(list []producer) []byte {
	b := make([]byte, snapshotHeaderLen, snapshotHeaderLen+len(list)*snapshotEntryLen)
	binary.BigEndian.PutUint16(b, snapshotVersion)
	binary.BigEndian.PutUint32(b[snapshotCountAt:], uint32(len(list)))
	for i := range list {
		p := &list[i]
		lastOffset, delta := noOffset, int32(0)
		if m, ok := p.last(); ok {
			lastOffset, delta = m.lastOffset, m.offsetDelta
		}
		b = binary.BigEndian.AppendUint64(b, uint64(p.id))
		b = binary.BigEndian.AppendUint16(b, uint16(p.epoch))
		b = binary.BigEndian.AppendUint32(b, uint32(p.lastSeq()))
		b = binary.BigEndian.AppendUint64(b, uint64(lastOffset))
		b = binary.BigEndian.AppendUint32(b, uint32(delta))
		b = binary.BigEndian.AppendUint64(b, uint64(p.lastTimestamp))
		b = binary.BigEndian.AppendUint32(b, uint32(p.coordinatorEpoch))
		b = binary.BigEndian.AppendUint64(b, uint64(p.txnFirst))
	}
	binary.BigEndian.PutUint32(b[snapshotCRCAt:], crc32.Checksum(b[snapshotCountAt:], castagnoli))
	return b
}

// decodeSnapshot parses a snapshot. why is the reason if it is invalid. Kafka reads the
// counted entries and ignores further bytes, but the CRC covers these, too.
func decodeSnapshot(b []byte) (list []producer, why string) {
	switch {
	case len(b) < snapshotHeaderLen:
		return nil, "it is too short for a producer snapshot"
	case binary.BigEndian.Uint16(b) != snapshotVersion:
		return nil, "its version is unknown"
	case binary.BigEndian.Uint32(b[snapshotCRCAt:]) != crc32.Checksum(b[snapshotCountAt:], castagnoli):
		return nil, "its CRC-32C does not match its content"
	}
	count := int64(int32(binary.BigEndian.Uint32(b[snapshotCountAt:])))
	b = b[snapshotHeaderLen:]
	if count < 0 || count*snapshotEntryLen > int64(len(b)) {
		return nil, "it counts more producers than it holds"
	}
	list = make([]producer, 0, count)
	for range count {
		list = append(list, decodeSnapshotEntry(b))
		b = b[snapshotEntryLen:]
	}
	return list, ""
}

func decodeSnapshotEntry(b []byte) producer {
	p := producer{
		id:               int64(binary.BigEndian.Uint64(b)),
		epoch:            int16(binary.BigEndian.Uint16(b[8:])),
		lastTimestamp:    int64(binary.BigEndian.Uint64(b[26:])),
		coordinatorEpoch: int32(binary.BigEndian.Uint32(b[34:])),
		txnFirst:         max(noOffset, int64(binary.BigEndian.Uint64(b[38:]))),
	}
	if lastOffset := int64(binary.BigEndian.Uint64(b[14:])); lastOffset >= 0 {
		p.batches[0] = batchMeta{
			lastOffset:  lastOffset,
			timestamp:   p.lastTimestamp,
			lastSeq:     int32(binary.BigEndian.Uint32(b[10:])),
			offsetDelta: int32(binary.BigEndian.Uint32(b[22:])),
		}
		p.kept, p.seen = 1, lastOffset
	}
	return p
}
