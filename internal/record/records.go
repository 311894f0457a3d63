package record

import "iter"

// Record is one record of a batch. Key, Value and Headers alias the batch or a
// buffer of Codecs: they are valid until the loop's next step.
type Record struct {
	// Offset is absolute, Timestamp in ms; with LogAppendTime it is the
	// batch's.
	Offset, Timestamp int64
	// OffsetDelta and TimestampDelta are the distances from the batch's base
	// offset and base timestamp, as stored.
	OffsetDelta    int32
	TimestampDelta int64
	// Attributes has no bit in use.
	Attributes int8
	// Key and Value are nil for null, which differs from empty.
	Key, Value []byte
	Headers    []Header
}

// Header is one header of a record; Value is nil for null.
type Header struct {
	Key, Value []byte
}

// Records iterates the records of b, whose CRC is taken as checked. The
// records of a compressed batch are decompressed as a whole first, at most
// MaxDecompressedBytes. An *InvalidError ends the loop. c may be nil for a
// batch that is not compressed.
//
//	for r, err := range batch.Records(codecs) {
//		if err != nil { return err }
//		…
//	}
func (b Batch) Records(c *Codecs) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		records := b.RecordBytes()
		if b.Compression() != None {
			buffer := c.buffer()
			defer c.recycle(buffer)
			var err error
			if *buffer, err = c.Decompress((*buffer)[:0], b.Compression(), records, MaxDecompressedBytes); err != nil {
				yield(Record{}, unreadable(b, err))
				return
			}
			records = *buffer
		}
		b.iterate(records, yield)
	}
}

// iterate yields the records that lie uncompressed in memory.
func (b Batch) iterate(records []byte, yield func(Record, error) bool) {
	var in scanner
	in.reset(records)
	var r Record
	base, baseTimestamp, count := b.BaseOffset(), b.BaseTimestamp(), b.Count()
	for i := range count {
		if !in.record(&r) {
			yield(Record{}, invalid(InvalidRecord, "record %d of %d at offset %d: %s", i, count, base, in.why))
			return
		}
		r.Offset = base + int64(r.OffsetDelta)
		r.Timestamp = baseTimestamp + r.TimestampDelta
		if b.TimestampType() == LogAppendTime {
			r.Timestamp = b.MaxTimestamp()
		}
		if !yield(r, nil) {
			return
		}
	}
	if in.pos != len(in.buf) {
		yield(Record{}, invalid(InvalidRecord, "the record batch at offset %d counts %d records but %d bytes follow them", base, count, len(in.buf)-in.pos))
	}
}
