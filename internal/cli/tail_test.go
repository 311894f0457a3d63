package cli

import (
	"encoding/binary"
	"testing"
)

func emptyBatch(base int64, last uint32, count uint32) []byte {
	b := make([]byte, batchHeader)
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[8:], batchHeader-batchOverhead)
	binary.BigEndian.PutUint32(b[lastOffsetDelta:], last)
	binary.BigEndian.PutUint32(b[recordCount:], count)
	return b
}

func TestSkipEmpty(t *testing.T) {
	join := func(batches ...[]byte) (all []byte) {
		for _, b := range batches {
			all = append(all, b...)
		}
		return all
	}
	broken := emptyBatch(5, 0, 0)
	binary.BigEndian.PutUint32(broken[8:], 0xfffffff4) // minus 12: the next batch would be this one
	cases := []struct {
		name    string
		in      []byte
		next    int64
		records bool
	}{
		{"nothing", nil, 5, false},
		{"one empty batch", emptyBatch(5, 4, 0), 10, false},
		{"two", join(emptyBatch(5, 4, 0), emptyBatch(12, 0, 0)), 13, false},
		{"records behind an empty batch", join(emptyBatch(5, 4, 0), emptyBatch(12, 0, 1)), 10, true},
		{"records at once", emptyBatch(5, 0, 1), 5, true},
		{"half a batch behind", join(emptyBatch(5, 4, 0), emptyBatch(12, 0, 1)[:40]), 10, false},
		{"a length out of range", join(broken, emptyBatch(6, 0, 1)), 6, false},
	}
	for _, c := range cases {
		if next, records := skipEmpty(c.in, 5); next != c.next || records != c.records {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, next, records, c.next, c.records)
		}
	}
}
