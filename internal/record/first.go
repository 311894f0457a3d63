package record

// First returns offset and timestamp (ms) of the first record of b at or above
// an offset; false when b has none. The CRC is taken as checked. Keys, values and
// what follows the record are not looked at: of a compressed batch no more is
// decompressed than the pieces up to it.
//
// b may be cut behind its header. Then an *InvalidError may mean no more than
// that the record lies beyond the cut. c may be nil for a batch that is not
// compressed.
func (b Batch) First(c *Codecs, from int64) (offset, timestamp int64, found bool, err error) {
	in := scanner{skim: true}
	if b.Compression() == None {
		in.reset(b.RecordBytes())
		return b.first(&in, from)
	}
	w := c.acquire()
	defer c.release(w)
	if err := w.open(b.Compression(), b.RecordBytes()); err != nil {
		return 0, 0, false, unreadable(b, err)
	}
	in.stream(w, MaxDecompressedBytes, nil)
	return b.first(&in, from)
}

func (b Batch) first(in *scanner, from int64) (offset, timestamp int64, found bool, err error) {
	var r Record
	for i := range b.Count() {
		if !in.head(&r) {
			if in.err != nil {
				return 0, 0, false, unreadable(b, in.err)
			}
			return 0, 0, false, invalid(InvalidRecord, "record %d of %d at offset %d: %s", i, b.Count(), b.BaseOffset(), in.why)
		}
		if offset = b.BaseOffset() + int64(r.OffsetDelta); offset >= from {
			if b.TimestampType() == LogAppendTime {
				return offset, b.MaxTimestamp(), true, nil
			}
			return offset, b.BaseTimestamp() + r.TimestampDelta, true, nil
		}
		in.bytes(int32(in.end - in.at()))
	}
	return 0, 0, false, nil
}
