package storage

import "encoding/binary"

// txnIndex is the file .txnindex: the transactions whose ABORT marker is in the segment, in
// the order of the markers. Without such a transaction there is no file.
//
//	 0  version             int16  0
//	 2  producer id         int64
//	10  first offset        int64  of the transaction in this partition
//	18  last offset         int64  offset of the marker
//	26  last stable offset  int64  when the marker was appended
type txnIndex struct{ index }

const txnEntryLen = 34

// abortedTxn is one entry.
type abortedTxn struct {
	producerID, first, last, lastStable int64
}

func newTxnIndex(f *file) txnIndex { return txnIndex{index{file: f, width: txnEntryLen}} }

func (x *txnIndex) add(t abortedTxn) {
	var b [txnEntryLen]byte
	binary.BigEndian.PutUint64(b[2:], uint64(t.producerID))
	binary.BigEndian.PutUint64(b[10:], uint64(t.first))
	binary.BigEndian.PutUint64(b[18:], uint64(t.last))
	binary.BigEndian.PutUint64(b[26:], uint64(t.lastStable))
	x.index.add(b[:])
}

func decodeTxn(b []byte) abortedTxn {
	return abortedTxn{
		producerID: int64(binary.BigEndian.Uint64(b[2:])),
		first:      int64(binary.BigEndian.Uint64(b[10:])),
		last:       int64(binary.BigEndian.Uint64(b[18:])),
		lastStable: int64(binary.BigEndian.Uint64(b[26:])),
	}
}

// before counts the entries whose marker is below offset. sound is true if all entries
// ascend, as appended ones do.
func (x *txnIndex) before(offset int64) (n int, sound bool, err error) {
	last := noOffset
	sound = true
	err = x.entries(func(i int, b []byte) error {
		t := decodeTxn(b)
		sound = sound && t.first >= 0 && t.first < t.last && t.last > last
		if last = t.last; sound && t.last < offset {
			n = i + 1
		}
		return nil
	})
	return n, sound, err
}
