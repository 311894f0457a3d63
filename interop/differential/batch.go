package differential

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kbin"
)

// batchSpec describes a record batch of magic 2: batch{N=3 Seq=0}. The
// overrides make the batch invalid on purpose.
type batchSpec struct {
	N           int64  // records
	Key, Value  string // of each record; NoKey, NoValue make them null
	NoKey       bool
	NoValue     bool
	Size        int64  // bytes of the value if larger than Value
	Header      string // a header of that name with the value "h"
	TS, Step    int64  // timestamp of the first record, and the difference between two records, ms
	Age         int64  // if not 0: TS is Age ms before now (after now if negative)
	Magic       int8
	Epoch       int16 // producer epoch
	PID         int64
	Seq         int32
	Codec       string // none gzip zstd
	BaseOffset  int64
	LeaderEpoch int32
	Attributes  int16 // additional attribute bits
	Transaction bool
	Control     bool
	BadCRC      bool
	Count       int64  // override of the record count; -1: none
	LastDelta   int64  // override of the last offset delta; -1: none
	Length      int64  // override of the batch length; -1: none
	MaxTS       int64  // override of the max timestamp; -1: none
	Cut         int64  // number of bytes removed at the end, after all other changes
	Tail        string // hex, appended after the records (within length and CRC)
	FirstDelta  int64  // offset delta of the first record
	Body        string // hex, instead of the records
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// baseTime is the default timestamp of records. It is fixed, so that responses
// are reproducible.
const baseTime = 1700000000000

func (b *builder) records(kind string) (string, error) {
	if kind == "messages" {
		spec := messageSpec{N: 1, Magic: 1, TS: baseTime, Value: "v"}
		if err := b.fields(reflect.ValueOf(&spec).Elem(), '}'); err != nil {
			return "", err
		}
		return string(spec.bytes()), nil
	}
	spec := batchSpec{N: 1, Value: "v", TS: baseTime, Step: 1, Magic: 2, Epoch: -1, PID: -1, Seq: -1,
		LeaderEpoch: -1, Count: -1, LastDelta: -1, Length: -1, MaxTS: -1}
	if err := b.fields(reflect.ValueOf(&spec).Elem(), '}'); err != nil {
		return "", err
	}
	raw, err := spec.bytes()
	return string(raw), err
}

func (s *batchSpec) bytes() ([]byte, error) {
	if s.Age != 0 {
		s.TS = time.Now().UnixMilli() - s.Age
	}
	body, err := s.body()
	if err != nil {
		return nil, err
	}
	maxTS := pick(s.MaxTS, s.TS+s.Step*max(s.N-1, 0))
	signed := kbin.AppendInt16(nil, s.attributes())
	signed = kbin.AppendInt32(signed, int32(pick(s.LastDelta, max(s.N-1, 0))))
	signed = kbin.AppendInt64(signed, s.TS)
	signed = kbin.AppendInt64(signed, maxTS)
	signed = kbin.AppendInt64(signed, s.PID)
	signed = kbin.AppendInt16(signed, s.Epoch)
	signed = kbin.AppendInt32(signed, s.Seq)
	signed = kbin.AppendInt32(signed, int32(pick(s.Count, s.N)))
	signed = append(signed, body...)

	crc := crc32.Checksum(signed, castagnoli)
	if s.BadCRC {
		crc++
	}
	out := kbin.AppendInt64(nil, s.BaseOffset)
	out = kbin.AppendInt32(out, int32(pick(s.Length, int64(len(signed)+9))))
	out = kbin.AppendInt32(out, s.LeaderEpoch)
	out = kbin.AppendInt8(out, s.Magic)
	out = kbin.AppendInt32(out, int32(crc))
	out = append(out, signed...)
	return out[:len(out)-int(s.Cut)], nil
}

func pick(override, computed int64) int64 {
	if override != -1 {
		return override
	}
	return computed
}

var codecBits = map[string]int16{"": 0, "none": 0, "gzip": 1, "zstd": 4}

func (s *batchSpec) attributes() int16 {
	a := s.Attributes | codecBits[s.Codec]
	if s.Transaction {
		a |= 1 << 4
	}
	if s.Control {
		a |= 1 << 5
	}
	return a
}

func (s *batchSpec) body() ([]byte, error) {
	if s.Body != "" {
		return hex.DecodeString(s.Body)
	}
	var raw []byte
	for i := range s.N {
		rec := s.record(i)
		raw = kbin.AppendVarint(raw, int32(len(rec)))
		raw = append(raw, rec...)
	}
	tail, err := hex.DecodeString(s.Tail)
	if err != nil {
		return nil, err
	}
	return compress(s.Codec, append(raw, tail...))
}

func (s *batchSpec) record(i int64) []byte {
	rec := []byte{0} // attributes
	rec = binary.AppendVarint(rec, s.Step*i)
	rec = binary.AppendVarint(rec, i+s.FirstDelta)
	rec = appendNullable(rec, s.Key, s.NoKey || s.Key == "")
	value := s.Value
	if n := int(s.Size) - len(value); n > 0 {
		value += strings.Repeat("x", n)
	}
	rec = appendNullable(rec, value, s.NoValue)
	if s.Header == "" {
		return binary.AppendVarint(rec, 0)
	}
	rec = binary.AppendVarint(rec, 1)
	rec = kbin.AppendVarintString(rec, s.Header)
	return kbin.AppendVarintBytes(rec, []byte("h"))
}

func appendNullable(dst []byte, s string, null bool) []byte {
	if null {
		return binary.AppendVarint(dst, -1)
	}
	return kbin.AppendVarintString(dst, s)
}

func compress(codec string, raw []byte) ([]byte, error) {
	var buf bytes.Buffer
	switch codec {
	case "", "none":
		return raw, nil
	case "gzip":
		w := gzip.NewWriter(&buf)
		if _, err := w.Write(raw); err != nil {
			return nil, err
		}
		err := w.Close()
		return buf.Bytes(), err
	case "zstd":
		w, err := zstd.NewWriter(nil)
		if err != nil {
			return nil, err
		}
		return w.EncodeAll(raw, nil), nil
	}
	return nil, fmt.Errorf("unknown codec %q", codec)
}

// messageSpec describes an old message set (magic 0 or 1).
type messageSpec struct {
	N      int64
	Magic  int8
	TS     int64
	Value  string
	BadCRC bool
}

func (s *messageSpec) bytes() []byte {
	var out []byte
	for i := range s.N {
		msg := []byte{byte(s.Magic), 0}
		if s.Magic == 1 {
			msg = kbin.AppendInt64(msg, s.TS)
		}
		msg = kbin.AppendNullableBytes(msg, nil)
		msg = kbin.AppendBytes(msg, []byte(s.Value))
		crc := crc32.ChecksumIEEE(msg)
		if s.BadCRC {
			crc++
		}
		out = kbin.AppendInt64(out, i)
		out = kbin.AppendInt32(out, int32(len(msg)+4))
		out = kbin.AppendInt32(out, int32(crc))
		out = append(out, msg...)
	}
	return out
}
