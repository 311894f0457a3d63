package storage

import (
	"cmp"
	"slices"

	"ottla/internal/record"
)

// cleanedTxns tracks the transactions while their batches are processed in offset order:
// which batches were aborted, and whether any batch is left of the transaction that a
// marker ends.
type cleanedTxns struct {
	codecs *record.Codecs
	// ahead has aborted transactions that begin later, by first offset.
	ahead []abortedTxn
	// aborted has the current aborted transactions, by producer. committed has the
	// producers with a batch of another transaction.
	aborted   map[int64]*abortedBatches
	committed map[int64]bool
}

// abortedBatches is a current aborted transaction.
type abortedBatches struct {
	txn  abortedTxn
	seen bool // one of its batches is still in the log
}

func newCleanedTxns(codecs *record.Codecs) *cleanedTxns {
	return &cleanedTxns{codecs: codecs, aborted: make(map[int64]*abortedBatches), committed: make(map[int64]bool)}
}

// add adds aborted transactions that overlap the next batches.
func (t *cleanedTxns) add(list []abortedTxn) {
	t.ahead = append(t.ahead, list...)
	slices.SortStableFunc(t.ahead, func(a, b abortedTxn) int { return cmp.Compare(a.first, b.first) })
}

// begin activates the transactions that begin at or below an offset.
func (t *cleanedTxns) begin(upTo int64) {
	n := 0
	for n < len(t.ahead) && t.ahead[n].first <= upTo {
		if x := t.ahead[n]; t.aborted[x.producerID] == nil {
			t.aborted[x.producerID] = &abortedBatches{txn: x}
		}
		n++
	}
	t.ahead = t.ahead[n:]
}

// data tells whether a data batch was aborted.
func (t *cleanedTxns) data(b record.Batch) bool {
	t.begin(b.LastOffset())
	if !b.IsTransactional() {
		return false
	}
	if x := t.aborted[b.ProducerID()]; x != nil {
		x.seen = true
		return true
	}
	t.committed[b.ProducerID()] = true
	return false
}

// control tells whether a control batch is useless: no batch of the transaction that it
// ends is in the log. kept is the index entry if it ends an aborted transaction with a
// remaining batch.
func (t *cleanedTxns) control(b record.Batch) (useless bool, kept *abortedTxn) {
	t.begin(b.LastOffset())
	if b.Count() == 0 {
		return true, nil
	}
	marker, _, err := endTxnMarker(b, t.codecs)
	if err != nil || marker == nil {
		return false, nil // another kind of control record
	}
	if marker.Commit {
		seen := t.committed[b.ProducerID()]
		delete(t.committed, b.ProducerID())
		return !seen, nil
	}
	x := t.aborted[b.ProducerID()]
	delete(t.aborted, b.ProducerID())
	if x == nil || !x.seen {
		return true, nil
	}
	return false, &x.txn
}
