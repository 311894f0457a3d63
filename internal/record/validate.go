package record

// Origin says who hands a batch to a leader, which decides the rules.
type Origin int8

const (
	// Client is a producer: every rule holds.
	Client Origin = iota
	// Coordinator is this broker itself (coordinators, transaction markers,
	// the metadata log): control batches are allowed.
	Coordinator
	// Replication is another replica's log: offsets and content were accepted
	// there, so only structure and CRC are checked.
	Replication
)

// Rules are what a batch must obey and what becomes of it. The caller fills
// them from the topic's config; Validate does not change them.
type Rules struct {
	// NowMs is the leader's clock, in ms since 1970 UTC.
	NowMs  int64
	Origin Origin
	// TimestampType is message.timestamp.type.
	TimestampType TimestampType
	// BeforeMaxMs and AfterMaxMs are message.timestamp.before.max.ms and
	// …after.max.ms: how far a CreateTime may lie from NowMs.
	BeforeMaxMs, AfterMaxMs int64
	// Compacted demands a key of every record.
	Compacted bool
	// Compression is compression.type: the codec to store, or Producer.
	Compression Compression
	// Level is compression.<codec>.level, DefaultLevel for the codec's own.
	Level int
	// MaxBytes is max.message.bytes, the limit of a whole batch; 0: none.
	MaxBytes int
}

// Validated is a batch that may be appended.
type Validated struct {
	// Batch is the one given, with its header corrected in place where the
	// rules ask for it, or a new one when it had to be compressed anew.
	Batch Batch
	// MaxTimestamp is the largest timestamp, in ms.
	MaxTimestamp int64
	// MaxTimestampDelta is the offset delta of the first record that has it;
	// 0 when all have the same.
	MaxTimestampDelta int32
	// LogAppendTime is NowMs for a topic of that timestamp type, else
	// NoTimestamp.
	LogAppendTime int64
}

// Validate checks a batch by the rules (P5, P6, P7) and makes it ready for
// the log, all but offset and leader epoch. The error is an *InvalidError.
//
//  1. The size fits the bytes and max.message.bytes.
//  2. A client's base offset is 0; the CRC holds.
//  3. The header: offsets match the count, no control batch from a client, an
//     idempotent producer has epoch and sequence, a transaction a producer.
//  4. Every record: its framing, offset deltas 0…n−1, key, timestamp. A
//     compressed batch is decompressed once, in pieces. It is never held whole,
//     not even when it is compressed anew, unless it is small.
//  5. The header's timestamp type and largest timestamp are corrected (P8),
//     and the records compressed anew when the topic wants another codec.
//
// Kafka lets an uncompressed batch with wrong offset deltas pass and renumbers
// a compressed one; both are refused here, since no client of magic 2 makes
// them and both mislead a consumer.
//
// Nothing is allocated per record. b must not be used by others meanwhile.
func (c *Codecs) Validate(b Batch, r *Rules) (Validated, error) {
	if err := b.checkFrame(r); err != nil {
		return Validated{}, err
	}
	if err := b.CheckCRC(); err != nil {
		return Validated{}, err
	}
	if r.Origin == Replication {
		return Validated{Batch: b, MaxTimestamp: b.MaxTimestamp(), LogAppendTime: NoTimestamp}, nil
	}
	if err := b.checkHeader(r); err != nil {
		return Validated{}, err
	}
	b, found, err := c.convert(b, r, b.targetCompression(r))
	if err != nil {
		return Validated{}, err
	}
	return b.stamp(r, found), nil
}

// checkFrame is step 1 and the half of step 2 that costs nothing.
func (b Batch) checkFrame(r *Rules) error {
	if len(b) < HeaderLen || int64(b.Length()) != int64(len(b))-OverheadLen {
		return corrupt("the record batch is corrupt: its length does not match its %d bytes", len(b))
	}
	if err := checkMagic(b.Magic()); err != nil {
		return err
	}
	if r.Origin == Client && b.BaseOffset() != 0 {
		return invalid(InvalidRecord, "the base offset of a producer's record batch is 0, but this one's is %d", b.BaseOffset())
	}
	if r.Origin != Replication && r.MaxBytes > 0 && len(b) > r.MaxBytes {
		return tooLarge(len(b), r)
	}
	return nil
}

func tooLarge(size int, r *Rules) error {
	return invalid(TooLarge, "the record batch has %d bytes, more than the %d that the topic's max.message.bytes allows", size, r.MaxBytes)
}

// checkHeader is step 3.
func (b Batch) checkHeader(r *Rules) error {
	count, delta := b.Count(), b.LastOffsetDelta()
	switch {
	case count <= 0 || int64(delta)+1 != int64(count):
		return invalid(InvalidRecord, "the record batch counts %d records but its last offset delta is %d", count, delta)
	case !b.Compression().Valid():
		return invalid(UnsupportedCompression, "no compression type has the id %d", b.Compression())
	case b.IsTransactional() && !b.HasProducer():
		return invalid(InvalidRecord, "the record batch is transactional but has no producer id")
	}
	if r.Origin != Client {
		return nil
	}
	switch {
	case b.IsControl():
		return invalid(InvalidRecord, "clients may not write control records")
	case b.HasProducer() && b.ProducerEpoch() < 0:
		return invalid(InvalidRecord, "the record batch of producer id %d has the epoch %d", b.ProducerID(), b.ProducerEpoch())
	case b.HasProducer() && b.BaseSequence() < 0:
		return invalid(InvalidRecord, "the record batch of producer id %d has the base sequence %d", b.ProducerID(), b.BaseSequence())
	case b.HasDeleteHorizon():
		return invalid(InvalidRecord, "clients may not set a delete horizon")
	}
	return nil
}

// targetCompression is the codec that the batch is stored with. Control
// records stay as they are.
func (b Batch) targetCompression(r *Rules) Compression {
	if r.Compression == Producer || b.IsControl() {
		return b.Compression()
	}
	return r.Compression
}

// extent is what the walk over the records found.
type extent struct {
	maxTimestamp int64
	atDelta      int32
}

// convert is step 4 and, if the codec changes, the half of step 5 that makes a
// new batch. It takes one worker for both: whoever gave his back in between would
// wait for another with everything in memory, as would all who come.
func (c *Codecs) convert(b Batch, r *Rules, target Compression) (Batch, extent, error) {
	if b.Compression() == None && target == None {
		found, err := b.check(nil, r, nil)
		return b, found, err
	}
	w := c.acquire()
	defer c.release(w)
	if target == b.Compression() {
		found, err := b.check(w, r, nil)
		return b, found, err
	}
	to := newRecompression(w, target, r)
	defer to.out.drop() // the codec goes on to refer to it
	found, err := b.check(w, r, to)
	if to.err == nil && err != nil {
		return b, found, err
	}
	if b.Compression() == None {
		to.whole(b.RecordBytes())
	}
	b, err = to.batch(b)
	return b, found, err
}

// check is step 4; w may be nil for a batch that is not compressed. to gets what
// is decompressed, unless it is nil.
func (b Batch) check(w *worker, r *Rules, to *recompression) (extent, error) {
	in := walk{batch: b, rules: r}
	if b.Compression() == None {
		in.in.reset(b.RecordBytes())
		return in.run()
	}
	if err := w.open(b.Compression(), b.RecordBytes()); err != nil {
		return extent{}, unreadable(b, err)
	}
	in.in.stream(w, MaxDecompressedBytes, to)
	return in.run()
}

// unreadable is the error for records that the codec cannot decompress. The
// checksum held, so the producer sent them so: sending again does not help.
func unreadable(b Batch, err error) error {
	return invalid(InvalidRecord, "the records cannot be decompressed as %s: %v", b.Compression(), err)
}

// stamp is the part of step 5 that is written in place.
func (b Batch) stamp(r *Rules, found extent) Validated {
	if r.TimestampType == LogAppendTime {
		b.setMaxTimestamp(LogAppendTime, r.NowMs)
		return Validated{Batch: b, MaxTimestamp: r.NowMs, LogAppendTime: r.NowMs}
	}
	b.setMaxTimestamp(CreateTime, found.maxTimestamp)
	return Validated{Batch: b, MaxTimestamp: found.maxTimestamp, MaxTimestampDelta: found.atDelta, LogAppendTime: NoTimestamp}
}
