package record

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"
)

// looseRules accept everything that the format allows.
func looseRules() Rules {
	return Rules{NowMs: someTime + 10, BeforeMaxMs: math.MaxInt64, AfterMaxMs: 3_600_000, Compression: Producer, MaxBytes: 1 << 20}
}

// build makes a client's batch of n records with keys, 1 ms apart.
func build(t testing.TB, o BuilderOptions, n int) Batch {
	t.Helper()
	b := NewBuilder(o)
	for i := range n {
		b.Append(someTime+int64(i), fmt.Appendf(nil, "key-%d", i), fmt.Appendf(nil, "the value of record number %d", i), Header{[]byte("h"), []byte("v")})
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

var codecsUnderTest = []Compression{None, Gzip, Snappy, LZ4, Zstd}

func TestValidateAccepts(t *testing.T) {
	c := NewCodecs()
	for _, codec := range codecsUnderTest {
		for _, n := range []int{1, 2, 100, 5000} {
			batch := build(t, BuilderOptions{Compression: codec, Codecs: c, Producer: &ProducerInfo{5, 0, 0}, Transactional: true}, n)
			before := bytes.Clone(batch)
			rules := looseRules()
			got, err := c.Validate(batch, &rules)
			if err != nil {
				t.Errorf("%v, %d records: %v", codec, n, err)
				continue
			}
			if !bytes.Equal(got.Batch, before) || &got.Batch[0] != &batch[0] {
				t.Errorf("%v, %d records: a good batch was changed", codec, n)
			}
			if got.MaxTimestamp != someTime+int64(n)-1 || got.MaxTimestampDelta != int32(n-1) || got.LogAppendTime != NoTimestamp {
				t.Errorf("%v, %d records: %+v", codec, n, got)
			}
		}
	}
}

// broken makes a batch whose bytes are changed and whose CRC holds again.
func broken(t testing.TB, o BuilderOptions, change func(b Batch)) Batch {
	b := build(t, o, 3)
	change(b)
	b.setCRC()
	return b
}

// raw makes an uncompressed batch that claims count records over the bytes.
func raw(t testing.TB, count int32, records []byte) Batch {
	b := append(build(t, BuilderOptions{}, 1)[:HeaderLen:HeaderLen], records...)
	b.putInt32(atLength, int32(len(b)-OverheadLen))
	b.putInt32(atCount, count)
	b.putInt32(atLastOffsetDelta, count-1)
	b.setCRC()
	return b
}

// TestValidateRefuses has a row for each way in which a batch is none that a client
// may send (P5, P6, P7).
func TestValidateRefuses(t *testing.T) {
	idempotent := BuilderOptions{Producer: &ProducerInfo{5, 0, 0}}
	record := func(hex string) []byte { return unhex(t, hex) }
	for _, test := range []struct {
		name  string
		batch Batch
		rules func(*Rules)
		kind  Kind
	}{
		{"empty", Batch{}, nil, Corrupt},
		{"length short", broken(t, idempotent, func(b Batch) { b.putInt32(atLength, b.Length()-1) }), nil, Corrupt},
		{"magic 1", broken(t, idempotent, func(b Batch) { b[atMagic] = 1 }), nil, InvalidRecord},
		{"magic 3", broken(t, idempotent, func(b Batch) { b[atMagic] = 3 }), nil, Corrupt},
		{"CRC", func() Batch { b := build(t, idempotent, 3); b[len(b)-1]++; return b }(), nil, Corrupt},
		{"too large", build(t, idempotent, 100), func(r *Rules) { r.MaxBytes = 200 }, TooLarge},
		{"base offset", broken(t, idempotent, func(b Batch) { b.SetBaseOffset(1) }), nil, InvalidRecord},
		{"no records", build(t, idempotent, 0), nil, InvalidRecord},
		{"count negative", broken(t, idempotent, func(b Batch) { b.putInt32(atCount, -1); b.putInt32(atLastOffsetDelta, -2) }), nil, InvalidRecord},
		{"count and delta differ", broken(t, idempotent, func(b Batch) { b.putInt32(atLastOffsetDelta, 3) }), nil, InvalidRecord},
		{"count huge", broken(t, idempotent, func(b Batch) { b.putInt32(atCount, math.MinInt32); b.putInt32(atLastOffsetDelta, math.MaxInt32) }), nil, InvalidRecord},
		{"control", broken(t, idempotent, func(b Batch) { b.putInt16(atAttributes, flagControl) }), nil, InvalidRecord},
		{"delete horizon", broken(t, idempotent, func(b Batch) { b.putInt16(atAttributes, flagHasDeleteHorizon) }), nil, InvalidRecord},
		{"no sequence", broken(t, idempotent, func(b Batch) { b.putInt32(atBaseSequence, NoSequence) }), nil, InvalidRecord},
		{"no epoch", broken(t, idempotent, func(b Batch) { b.putInt16(atProducerEpoch, NoProducerEpoch) }), nil, InvalidRecord},
		{"transaction of nobody", broken(t, BuilderOptions{}, func(b Batch) { b.putInt16(atAttributes, flagTransactional) }), nil, InvalidRecord},
		{"codec 5", broken(t, idempotent, func(b Batch) { b.putInt16(atAttributes, 5) }), nil, UnsupportedCompression},
		{"LogAppendTime", broken(t, idempotent, func(b Batch) { b.putInt16(atAttributes, flagLogAppendTime) }), func(r *Rules) { r.TimestampType = LogAppendTime }, InvalidTimestamp},
		{"not gzip", broken(t, idempotent, func(b Batch) { b.putInt16(atAttributes, int16(Gzip)) }), nil, InvalidRecord},
		{"not snappy", broken(t, idempotent, func(b Batch) { b.putInt16(atAttributes, int16(Snappy)) }), nil, InvalidRecord},
		{"not lz4", broken(t, idempotent, func(b Batch) { b.putInt16(atAttributes, int16(LZ4)) }), nil, InvalidRecord},
		{"not zstd", broken(t, idempotent, func(b Batch) { b.putInt16(atAttributes, int16(Zstd)) }), nil, InvalidRecord},
		{"fewer than counted", raw(t, 2, record("0c000000010100")), nil, InvalidRecord},
		{"more than counted", raw(t, 1, record("0c0000000101000c000002010100")), nil, InvalidRecord},
		{"record length negative", raw(t, 1, record("0b000000010100")), nil, InvalidRecord},
		{"record length too long", raw(t, 1, record("0e000000010100")), nil, InvalidRecord},
		{"record length too short", raw(t, 1, record("0a000000010100")), nil, InvalidRecord},
		{"offset delta not 0", raw(t, 1, record("0c000002010100")), nil, InvalidRecord},
		{"offset delta twice", raw(t, 2, record("0c0000000101000c000000010100")), nil, InvalidRecord},
		{"key beyond the record", raw(t, 1, record("0c000000640100")), nil, InvalidRecord},
		{"key length -2", raw(t, 1, record("0c000000030100")), nil, InvalidRecord},
		{"value beyond the record", raw(t, 1, record("0c000000016400")), nil, InvalidRecord},
		{"headers beyond the record", raw(t, 1, record("0c000000010164")), nil, InvalidRecord},
		{"headers negative", raw(t, 1, record("0c000000010101")), nil, InvalidRecord},
		{"header key null", raw(t, 1, record("100000000101020101")), nil, InvalidRecord},
		{"header value beyond the record", raw(t, 1, record("100000000101020064")), nil, InvalidRecord},
		{"varint of 6 bytes", raw(t, 1, record("18000080808080808000010100")), nil, InvalidRecord},
		{"varint above 32 bits", raw(t, 1, record("140000ffffffff1f010100")), nil, InvalidRecord},
		{"varlong above 64 bits", raw(t, 1, record("1e00ffffffffffffffffff0200010100")), nil, InvalidRecord},
		{"nothing after the length", raw(t, 1, record("0c")), nil, InvalidRecord},
		{"no record at all", raw(t, 1, nil), nil, InvalidRecord},
		{"too old", build(t, idempotent, 1), func(r *Rules) { r.NowMs, r.BeforeMaxMs = someTime+101, 100 }, InvalidTimestamp},
		{"too new", build(t, idempotent, 1), func(r *Rules) { r.NowMs, r.AfterMaxMs = someTime-101, 100 }, InvalidTimestamp},
		{"further back than 64 bits", broken(t, idempotent, func(b Batch) { b.putInt64(atBaseTimestamp, math.MinInt64+100) }), nil, InvalidTimestamp},
	} {
		rules := looseRules()
		if test.rules != nil {
			test.rules(&rules)
		}
		_, err := NewCodecs().Validate(test.batch, &rules)
		wantKind(t, test.name, err, nil, test.kind)
	}
}

// TestRecordErrors names the records at fault and no others (KIP-467).
func TestRecordErrors(t *testing.T) {
	c := NewCodecs()
	for _, codec := range codecsUnderTest {
		b := NewBuilder(BuilderOptions{Compression: codec, Codecs: c})
		b.Append(someTime, []byte("k"), nil)
		b.Append(someTime, nil, []byte("no key"))
		b.Append(someTime, []byte{}, nil)
		b.Append(someTime, nil, nil)
		batch, _ := b.Build()
		rules := looseRules()
		rules.Compacted = true
		_, err := c.Validate(batch, &rules)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Kind != InvalidRecord || len(invalid.Records) != 2 || invalid.Records[0].Index != 1 || invalid.Records[1].Index != 3 {
			t.Errorf("%v: %#v", codec, err)
		}
	}
	// One bad timestamp makes the whole an INVALID_TIMESTAMP, and what is
	// reported is bounded.
	b := NewBuilder(BuilderOptions{})
	for range 3 * MaxRecordErrors {
		b.Append(someTime, nil, nil)
	}
	b.Append(someTime+10*3_600_000, nil, nil)
	batch, _ := b.Build()
	rules := looseRules()
	rules.Compacted = true
	_, err := c.Validate(batch, &rules)
	var invalid *InvalidError
	if !errors.As(err, &invalid) || invalid.Kind != InvalidRecord || len(invalid.Records) != MaxRecordErrors {
		t.Errorf("the key comes first: %v", err)
	}
	rules.Compacted = false
	_, err = c.Validate(batch, &rules)
	if !errors.As(err, &invalid) || invalid.Kind != InvalidTimestamp || len(invalid.Records) != 1 || invalid.Records[0].Index != 3*MaxRecordErrors {
		t.Errorf("%#v", err)
	}
}

// TestTimestampBounds is exact to the millisecond; -1 says nothing and passes.
func TestTimestampBounds(t *testing.T) {
	c := NewCodecs()
	for _, test := range []struct {
		timestamp int64
		ok        bool
	}{
		{someTime - 100, true}, {someTime - 101, false}, {someTime + 50, true}, {someTime + 51, false}, {NoTimestamp, true}, {-2, false}, {0, false},
	} {
		b := NewBuilder(BuilderOptions{})
		b.Append(test.timestamp, nil, nil)
		batch, _ := b.Build()
		rules := Rules{NowMs: someTime, BeforeMaxMs: 100, AfterMaxMs: 50, Compression: Producer}
		if _, err := c.Validate(batch, &rules); (err == nil) != test.ok {
			t.Errorf("timestamp %d: %v", test.timestamp-someTime, err)
		}
		rules.TimestampType = LogAppendTime
		if _, err := c.Validate(batch, &rules); err != nil {
			t.Errorf("LogAppendTime does not look at the producer's %d: %v", test.timestamp, err)
		}
	}
}

// TestMaxTimestampIsCorrected guards P8: the header says what the records do.
func TestMaxTimestampIsCorrected(t *testing.T) {
	c := NewCodecs()
	for _, codec := range codecsUnderTest {
		b := NewBuilder(BuilderOptions{Compression: codec, Codecs: c})
		for _, delta := range []int64{0, 7, 3, 7} {
			b.Append(someTime+delta, nil, nil)
		}
		batch, _ := b.Build()
		batch.putInt64(atMaxTimestamp, someTime-5)
		batch.putInt16(atAttributes, batch.Attributes()|flagLogAppendTime)
		batch.setCRC()
		rules := looseRules()
		got, err := c.Validate(batch, &rules)
		if err != nil || got.MaxTimestamp != someTime+7 || got.MaxTimestampDelta != 1 {
			t.Fatalf("%v: %+v, %v", codec, got, err)
		}
		if got.Batch.MaxTimestamp() != someTime+7 || got.Batch.TimestampType() != CreateTime || got.Batch.CheckCRC() != nil {
			t.Errorf("%v: %v", codec, got.Batch)
		}
	}
}

func TestLogAppendTime(t *testing.T) {
	c := NewCodecs()
	batch := build(t, BuilderOptions{}, 3)
	rules := looseRules()
	rules.TimestampType = LogAppendTime
	got, err := c.Validate(batch, &rules)
	if err != nil || got.LogAppendTime != rules.NowMs || got.MaxTimestamp != rules.NowMs || got.MaxTimestampDelta != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got.Batch.TimestampType() != LogAppendTime || got.Batch.MaxTimestamp() != rules.NowMs || got.Batch.CheckCRC() != nil {
		t.Errorf("%v", got.Batch)
	}
	// As for Kafka each record of a batch that claims it is at fault.
	batch = build(t, BuilderOptions{}, 3)
	batch.putInt16(atAttributes, flagLogAppendTime)
	batch.setCRC()
	_, err = c.Validate(batch, &rules)
	var invalid *InvalidError
	if !errors.As(err, &invalid) || invalid.Kind != InvalidTimestamp || len(invalid.Records) != 3 || invalid.Records[2].Index != 2 {
		t.Errorf("%+v", err)
	}
}

// TestRecompress stores each codec's records as each other codec.
func TestRecompress(t *testing.T) {
	c := NewCodecs()
	for _, from := range codecsUnderTest {
		for _, to := range codecsUnderTest {
			batch := build(t, BuilderOptions{Compression: from, Codecs: c, Producer: &ProducerInfo{9, 3, 70}}, 500)
			want := collect(t, c, batch)
			rules := looseRules()
			rules.Compression = to
			got, err := c.Validate(batch, &rules)
			if err != nil {
				t.Errorf("%v to %v: %v", from, to, err)
				continue
			}
			b := mustNext(t, got.Batch)
			if b.Compression() != to || b.CheckCRC() != nil || b.ProducerID() != 9 || b.BaseSequence() != 70 || b.Count() != 500 {
				t.Errorf("%v to %v: %v", from, to, b)
			}
			if have := collect(t, c, b); have != want {
				t.Errorf("%v to %v: the records differ", from, to)
			}
			if (from == to) != (&got.Batch[0] == &batch[0]) {
				t.Errorf("%v to %v: copied is %t", from, to, from == to)
			}
		}
	}
	batch := build(t, BuilderOptions{Compression: Zstd, Codecs: c}, 500)
	rules := looseRules()
	rules.Compression, rules.MaxBytes = None, len(batch)
	_, err := c.Validate(batch, &rules)
	wantKind(t, "grown beyond the limit", err, nil, TooLarge)
	rules = looseRules()
	rules.Compression, rules.Level = Gzip, 99
	_, err = c.Validate(batch, &rules)
	wantKind(t, "impossible level", err, nil, InvalidRecord)
}

// collect prints the records of a batch.
func collect(t testing.TB, c *Codecs, b Batch) string {
	t.Helper()
	var s bytes.Buffer
	for r, err := range b.Records(c) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&s, "%d %d %q %q %q\n", r.Offset, r.Timestamp, r.Key, r.Value, r.Headers)
	}
	return s.String()
}

// TestOrigins: what a client may not, the broker itself may.
func TestOrigins(t *testing.T) {
	c := NewCodecs()
	marker := mustNext(t, unhex(t, commitMarker))
	marker.SetBaseOffset(0)
	rules := looseRules()
	rules.Compression, rules.Compacted = Zstd, true
	_, err := c.Validate(marker, &rules)
	wantKind(t, "a client's marker", err, nil, InvalidRecord)

	rules.Origin = Coordinator
	got, err := c.Validate(marker, &rules)
	if err != nil || got.Batch.Compression() != None {
		t.Errorf("a coordinator's marker is stored as it is: %v, %v", got.Batch, err)
	}
	_, err = c.Validate(build(t, BuilderOptions{BaseOffset: 5}, 0), &rules)
	wantKind(t, "an empty batch of a coordinator", err, nil, InvalidRecord)

	rules.Origin, rules.MaxBytes = Replication, 10
	empty := build(t, BuilderOptions{BaseOffset: 5, LastOffsetDelta: 3, MaxTimestamp: someTime}, 0)
	if got, err := c.Validate(empty, &rules); err != nil || got.MaxTimestamp != someTime {
		t.Errorf("a replica takes what compaction left: %+v, %v", got, err)
	}
	empty[len(empty)-1]++
	_, err = c.Validate(empty, &rules)
	wantKind(t, "a replica's bad CRC", err, nil, Corrupt)
}

// A batch that changes its codec takes one worker and gives it back once: in
// between it would wait with all its records in memory.
func TestConversionTakesOneWorker(t *testing.T) {
	batch := build(t, BuilderOptions{Compression: Zstd, Codecs: NewCodecs()}, 20)
	c := NewCodecs()
	c.slots = make(chan struct{}) // each taking and giving back meets the test
	rules := looseRules()
	rules.Compression = Gzip
	done := make(chan error, 1)
	go func() {
		_, err := c.Validate(batch, &rules)
		done <- err
	}()
	<-c.slots
	c.slots <- struct{}{}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-c.slots:
		t.Error("it takes a second worker")
		c.slots <- struct{}{}
		<-done
	}
}
