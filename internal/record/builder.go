package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// BuilderOptions describe a new batch. The zero value is an ordinary batch at
// offset 0 in epoch 0, uncompressed, of no idempotent producer.
type BuilderOptions struct {
	BaseOffset  int64
	LeaderEpoch int32
	// Producer is nil for a batch of no idempotent producer.
	Producer *ProducerInfo
	// Transactional marks a batch of a transaction, or its end marker.
	Transactional bool
	// Control marks a batch of control records; AppendControl sets it.
	Control bool
	// TimestampType LogAppendTime takes MaxTimestamp for every record.
	TimestampType TimestampType
	// MaxTimestamp is a lower bound of the header's field, in ms. Compaction
	// hands over NoTimestamp, which is none even where records have none, or for
	// a batch that it empties what the header said.
	MaxTimestamp int64
	// LastOffsetDelta is a lower bound of the header's field: compaction keeps
	// the last offset of a batch whose last record went.
	LastOffsetDelta int32
	// DeleteHorizon, when not nil, is stored as the base timestamp (ms).
	DeleteHorizon *int64
	// Compression needs Codecs unless it is None.
	Compression Compression
	// Level is the codec's level; DefaultLevel or the codec's own scale.
	Level  int
	Codecs *Codecs
}

// ProducerInfo is the idempotent producer of a batch.
type ProducerInfo struct {
	ID           int64
	Epoch        int16
	BaseSequence int32
}

// Builder makes one batch. It is not safe for concurrent use.
type Builder struct {
	options BuilderOptions
	buf     []byte
	base    int64 // base timestamp; valid when based
	based   bool
	max     int64
	count   int32
	last    int32 // offset delta of the last record; -1: none
	err     error
}

// NewBuilder begins a batch.
func NewBuilder(o BuilderOptions) *Builder {
	b := &Builder{}
	b.Reset(o)
	return b
}

// Reset begins another batch in the same memory: the batch that Build returned
// before is overwritten.
func (b *Builder) Reset(o BuilderOptions) {
	*b = Builder{options: o, buf: b.buf[:0], max: NoTimestamp, last: -1}
	b.buf = append(b.buf, make([]byte, HeaderLen)...)
	if o.DeleteHorizon != nil {
		b.base, b.based = *o.DeleteHorizon, true
	}
}

// Append adds a record at the next offset. A nil key or value is null.
func (b *Builder) Append(timestampMs int64, key, value []byte, headers ...Header) {
	b.AppendAt(b.last+1, timestampMs, key, value, headers...)
}

// AppendAt adds a record at BaseOffset+delta, which must exceed the delta
// before; compaction leaves gaps.
func (b *Builder) AppendAt(delta int32, timestampMs int64, key, value []byte, headers ...Header) {
	if delta <= b.last {
		b.err = fmt.Errorf("record: offset delta %d follows %d", delta, b.last)
		return
	}
	if !b.based {
		b.base, b.based = timestampMs, true
	}
	b.buf = appendRecord(b.buf, timestampMs-b.base, delta, key, value, headers)
	b.last = delta
	b.count++
	b.max = max(b.max, timestampMs)
}

// AppendControl adds a control record and makes the batch a control batch.
func (b *Builder) AppendControl(timestampMs int64, kind ControlType, value []byte) {
	b.options.Control = true
	key := kind.Key()
	b.Append(timestampMs, key[:], value)
}

// Count is the number of records so far.
func (b *Builder) Count() int { return int(b.count) }

// Size is the size of the batch so far in bytes, before compression.
func (b *Builder) Size() int { return len(b.buf) }

// Build closes the batch, which is valid until the next Reset. A batch without
// records is what compaction leaves of a producer's last one.
func (b *Builder) Build() (Batch, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.options.Compression != None {
		if err := b.compress(); err != nil {
			return nil, err
		}
	}
	if len(b.buf) > math.MaxInt32 {
		return nil, errors.New("record: a batch is limited to 2 GiB")
	}
	batch := Batch(b.buf)
	b.writeHeader(batch)
	return batch, nil
}

func (b *Builder) compress() error {
	if b.options.Codecs == nil {
		return errors.New("record: BuilderOptions.Codecs is needed to compress")
	}
	out := append(make([]byte, 0, HeaderLen+len(b.buf)/2), b.buf[:HeaderLen]...)
	out, err := b.options.Codecs.Compress(out, b.options.Compression, b.options.Level, b.buf[HeaderLen:])
	if err != nil {
		return err
	}
	b.buf = out
	return nil
}

func (b *Builder) writeHeader(batch Batch) {
	o := &b.options
	base := b.base
	if !b.based {
		base = NoTimestamp
	}
	batch.putInt64(atBaseOffset, o.BaseOffset)
	batch.putInt32(atLength, int32(len(batch)-OverheadLen))
	batch.putInt32(atLeaderEpoch, o.LeaderEpoch)
	batch[atMagic] = Magic
	batch.putInt16(atAttributes, b.attributes())
	batch.putInt32(atLastOffsetDelta, max(b.last, o.LastOffsetDelta))
	batch.putInt64(atBaseTimestamp, base)
	batch.putInt64(atMaxTimestamp, b.maxTimestamp())
	producer := ProducerInfo{NoProducerID, NoProducerEpoch, NoSequence}
	if o.Producer != nil {
		producer = *o.Producer
	}
	batch.putInt64(atProducerID, producer.ID)
	batch.putInt16(atProducerEpoch, producer.Epoch)
	batch.putInt32(atBaseSequence, producer.BaseSequence)
	batch.putInt32(atCount, b.count)
	batch.setCRC()
}

func (b *Builder) maxTimestamp() int64 {
	if b.options.TimestampType == LogAppendTime || b.options.MaxTimestamp > b.max {
		return b.options.MaxTimestamp
	}
	return b.max
}

func (b *Builder) attributes() int16 {
	o := &b.options
	attributes := int16(o.Compression) & compressionMask
	if o.TimestampType == LogAppendTime {
		attributes |= flagLogAppendTime
	}
	if o.Transactional {
		attributes |= flagTransactional
	}
	if o.Control {
		attributes |= flagControl
	}
	if o.DeleteHorizon != nil {
		attributes |= flagHasDeleteHorizon
	}
	return attributes
}

// appendRecord writes one record in the format that scanner documents.
func appendRecord(dst []byte, timestampDelta int64, offsetDelta int32, key, value []byte, headers []Header) []byte {
	dst = binary.AppendVarint(dst, int64(recordLen(timestampDelta, offsetDelta, key, value, headers)))
	dst = append(dst, 0)
	dst = binary.AppendVarint(dst, timestampDelta)
	dst = binary.AppendVarint(dst, int64(offsetDelta))
	dst = appendBytes(dst, key)
	dst = appendBytes(dst, value)
	dst = binary.AppendVarint(dst, int64(len(headers)))
	for _, h := range headers {
		dst = binary.AppendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendBytes(dst, h.Value)
	}
	return dst
}

// recordLen is the length of a record without its own length field.
func recordLen(timestampDelta int64, offsetDelta int32, key, value []byte, headers []Header) int {
	n := 1 + varintLen(timestampDelta) + varintLen(int64(offsetDelta)) + bytesLen(key) + bytesLen(value) + varintLen(int64(len(headers)))
	for _, h := range headers {
		n += varintLen(int64(len(h.Key))) + len(h.Key) + bytesLen(h.Value)
	}
	return n
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

func bytesLen(b []byte) int {
	if b == nil {
		return varintLen(-1)
	}
	return varintLen(int64(len(b))) + len(b)
}

func varintLen(v int64) int {
	n := 1
	for u := uint64(v<<1) ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}
