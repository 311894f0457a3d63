// Package record is Kafka's record batch, version 2, as a view over bytes.
//
// A batch is never decoded into a structure of its own: Batch is the byte
// slice itself with accessors, so that a produce request's bytes go to the
// disk as they came and only the fields that a leader owns are written in
// place. Validate checks a client's batch before it is appended, Builder makes
// new ones, Records iterates.
//
// Start reading at Batch, then Codecs.Validate.
package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
)

// The sizes of a batch's parts, in bytes.
const (
	// OverheadLen is what precedes the bytes that the field length counts:
	// base offset and length itself.
	OverheadLen = 12
	// HeaderLen is everything before the first record.
	HeaderLen = 61
	// Magic is the version of the format, the only one that Kafka 4 takes.
	Magic = 2
)

// What a field holds when it says nothing.
const (
	NoTimestamp     int64 = -1
	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
	NoSequence      int32 = -1
)

// Where each field of the header begins.
const (
	atBaseOffset      = 0
	atLength          = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atBaseTimestamp   = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atCount           = 57
)

// The bits of the attributes.
const (
	compressionMask      = 0x07
	flagLogAppendTime    = 0x08
	flagTransactional    = 0x10
	flagControl          = 0x20
	flagHasDeleteHorizon = 0x40
)

// TimestampType says whose clock a batch's timestamps come from; the values
// are the bit in the attributes.
type TimestampType int8

const (
	// CreateTime is the producer's clock, one timestamp for each record.
	CreateTime TimestampType = 0
	// LogAppendTime is the leader's clock, one timestamp for the whole batch.
	LogAppendTime TimestampType = 1
)

// String is the name as in the key message.timestamp.type.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}

// Batch is one whole record batch of version 2. All integers are big endian:
//
//	byte
//	 0  base offset        int64   set by the leader; a client sends 0
//	 8  length             int32   bytes that follow this field
//	12  leader epoch       int32   set by the leader
//	16  magic              int8    2
//	17  CRC-32C            uint32  over everything from byte 21 to the end
//	21  attributes         int16   bits 0–2 compression, 3 timestamp type,
//	                               4 transactional, 5 control, 6 base timestamp
//	                               is a delete horizon
//	23  last offset delta  int32   also the last sequence's delta
//	27  base timestamp     int64   ms since 1970 UTC; or the delete horizon
//	35  max timestamp      int64   ms
//	43  producer id        int64   -1: none
//	51  producer epoch     int16
//	53  base sequence      int32
//	57  records            int32   count
//	61  the records, as one compressed block when bits 0–2 are not 0
//
// The accessors trust the length: a Batch comes from Next, Builder or
// Validate, never from a bare conversion of foreign bytes.
type Batch []byte

// BaseOffset is the offset of the first record, also when compaction removed it.
func (b Batch) BaseOffset() int64 { return b.int64(atBaseOffset) }

// Length is the field of that name: the bytes of the batch less OverheadLen.
func (b Batch) Length() int32 { return b.int32(atLength) }

// LeaderEpoch is the epoch of the leader that appended the batch, -1 if none.
func (b Batch) LeaderEpoch() int32 { return b.int32(atLeaderEpoch) }

// Magic is the version of the format.
func (b Batch) Magic() int8 { return int8(b[atMagic]) }

// CRC is the checksum that the batch carries.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[atCRC:]) }

// Attributes are the flags as they stand in the header.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[atAttributes:])) }

// Compression is the codec of the records; 5 to 7 are not assigned.
func (b Batch) Compression() Compression { return Compression(b.Attributes() & compressionMask) }

// TimestampType says whose clock the timestamps come from.
func (b Batch) TimestampType() TimestampType {
	if b.has(flagLogAppendTime) {
		return LogAppendTime
	}
	return CreateTime
}

// IsTransactional tells whether the batch belongs to a transaction; the
// marker that ends one does, too.
func (b Batch) IsTransactional() bool { return b.has(flagTransactional) }

// IsControl tells whether the batch holds one control record.
func (b Batch) IsControl() bool { return b.has(flagControl) }

// DeleteHorizon is the time in ms from which compaction may drop the
// tombstones of the batch; false when compaction has not set it yet.
func (b Batch) DeleteHorizon() (int64, bool) {
	return b.BaseTimestamp(), b.HasDeleteHorizon()
}

// HasDeleteHorizon tells whether the base timestamp is a delete horizon.
func (b Batch) HasDeleteHorizon() bool { return b.has(flagHasDeleteHorizon) }

// LastOffsetDelta is the distance from the first to the last offset.
func (b Batch) LastOffsetDelta() int32 { return b.int32(atLastOffsetDelta) }

// LastOffset is the offset of the last record.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset that follows the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// BaseTimestamp is what the records' timestamp deltas add to, in ms.
func (b Batch) BaseTimestamp() int64 { return b.int64(atBaseTimestamp) }

// MaxTimestamp is the largest timestamp of the records, in ms; with
// LogAppendTime it is the timestamp of each of them.
func (b Batch) MaxTimestamp() int64 { return b.int64(atMaxTimestamp) }

// ProducerID is the idempotent producer's id, NoProducerID if there is none.
func (b Batch) ProducerID() int64 { return b.int64(atProducerID) }

// HasProducer tells whether an idempotent producer wrote the batch.
func (b Batch) HasProducer() bool { return b.ProducerID() > NoProducerID }

// ProducerEpoch is the epoch of ProducerID.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[atProducerEpoch:])) }

// BaseSequence is the sequence number of the first record, NoSequence if none.
func (b Batch) BaseSequence() int32 { return b.int32(atBaseSequence) }

// LastSequence is the sequence number of the last record; numbers wrap from
// 2³¹−1 to 0 (T3).
func (b Batch) LastSequence() int32 {
	if b.BaseSequence() == NoSequence {
		return NoSequence
	}
	return IncrementSequence(b.BaseSequence(), b.LastOffsetDelta())
}

// Count is the number of records in the batch; less than LastOffsetDelta+1
// only after compaction.
func (b Batch) Count() int32 { return b.int32(atCount) }

// RecordBytes are the records as they stand in the batch, compressed or not.
func (b Batch) RecordBytes() []byte { return b[HeaderLen:] }

// SetBaseOffset writes the offset of the first record; the CRC does not
// cover it. Only the leader that appends the batch calls it (P6).
func (b Batch) SetBaseOffset(offset int64) { b.putInt64(atBaseOffset, offset) }

// SetLeaderEpoch writes the leader's epoch; the CRC does not cover it.
func (b Batch) SetLeaderEpoch(epoch int32) { b.putInt32(atLeaderEpoch, epoch) }

// SetLogAppendTime makes timestampMs the timestamp of every record and renews
// the CRC.
func (b Batch) SetLogAppendTime(timestampMs int64) { b.setMaxTimestamp(LogAppendTime, timestampMs) }

// setMaxTimestamp writes type and largest timestamp; the CRC is computed anew
// only when something changed.
func (b Batch) setMaxTimestamp(kind TimestampType, timestampMs int64) {
	if b.TimestampType() == kind && b.MaxTimestamp() == timestampMs {
		return
	}
	attributes := b.Attributes() &^ flagLogAppendTime
	if kind == LogAppendTime {
		attributes |= flagLogAppendTime
	}
	b.putInt16(atAttributes, attributes)
	b.putInt64(atMaxTimestamp, timestampMs)
	b.setCRC()
}

// CheckCRC compares the checksum with the content (P5). The error is an
// *InvalidError of kind Corrupt.
func (b Batch) CheckCRC() error {
	if computed := b.computeCRC(); computed != b.CRC() {
		return corrupt("the record batch is corrupt: its CRC-32C is %08x, that of its content %08x", b.CRC(), computed)
	}
	return nil
}

// String describes the header in one line.
func (b Batch) String() string {
	if len(b) < HeaderLen {
		return fmt.Sprintf("RecordBatch(%d bytes)", len(b))
	}
	return fmt.Sprintf("RecordBatch(offsets=[%d, %d], count=%d, size=%d, epoch=%d, producer=%d/%d, sequence=[%d, %d], transactional=%t, control=%t, compression=%s, %s=%d, crc=%d)",
		b.BaseOffset(), b.LastOffset(), b.Count(), len(b), b.LeaderEpoch(), b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.LastSequence(),
		b.IsTransactional(), b.IsControl(), b.Compression(), b.TimestampType(), b.MaxTimestamp(), b.CRC())
}

// IncrementSequence adds to a sequence number, which wraps from 2³¹−1 to 0 (T3).
func IncrementSequence(sequence, by int32) int32 {
	if sequence > math.MaxInt32-by {
		return by - (math.MaxInt32 - sequence) - 1
	}
	return sequence + by
}

func (b Batch) has(flag int16) bool { return b.Attributes()&flag != 0 }

func (b Batch) int64(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
func (b Batch) int32(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }

func (b Batch) putInt64(at int, v int64) { binary.BigEndian.PutUint64(b[at:], uint64(v)) }
func (b Batch) putInt32(at int, v int32) { binary.BigEndian.PutUint32(b[at:], uint32(v)) }
func (b Batch) putInt16(at int, v int16) { binary.BigEndian.PutUint16(b[at:], uint16(v)) }

// castagnoli is a constant: the standard library computes it once and returns
// the table whose presence selects the processor's CRC instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (b Batch) computeCRC() uint32 { return crc32.Checksum(b[atAttributes:], castagnoli) }

func (b Batch) setCRC() { binary.BigEndian.PutUint32(b[atCRC:], b.computeCRC()) }
