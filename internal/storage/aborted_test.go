package storage

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"ottla/internal/vfs"
)

// windows asks for the aborted transactions of every small stretch of a log.
func windows(t *testing.T, l *Log) (lists []string) {
	t.Helper()
	for from := l.StartOffset(); from < l.EndOffset(); from++ {
		for _, n := range []int64{1, 5, 20, 100} {
			list, err := l.AbortedTxns(from, min(from+n, l.EndOffset()))
			if err != nil {
				t.Fatal(err)
			}
			lists = append(lists, fmt.Sprintf("%d+%d: %v", from, n, list))
		}
	}
	return lists
}

// openT opens what a clone of a dir holds of the partition t-0.
func openT(t *testing.T, o Options, mem *vfs.Mem) *oneLog {
	t.Helper()
	found := &oneLog{t: t, mem: mem, o: o, time: &clock{startMs}}
	found.o.FS = mem
	if err := found.up(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(found.m.abandon)
	return found
}

// TestTransactionIndexIsProved flips each bit of the transaction indexes of two
// segments, the last and another, after a clean stop: readers are told of the same
// aborted transactions as ever, since the batches say so.
func TestTransactionIndexIsProved(t *testing.T) {
	mem, o := full(t, true)
	want := windows(t, openT(t, o, mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})).Log)
	bases := must(listFolder(mem, folderPath))(t).bases
	step := 1
	if raceEnabled {
		step = 13
	}
	for _, base := range []int64{bases[1], bases[len(bases)-1]} {
		name := filepath.Join(folderPath, segmentName(base, txnSuffix))
		size := must(mem.Stat(name))(t).Size()
		if size < 2*txnEntryLen {
			t.Fatal(size)
		}
		for bit := 0; bit < int(size)*8; bit += step {
			broken := mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})
			flipBit(t, broken, name, int64(bit/8), bit%8)
			l := openT(t, o, broken)
			if got := windows(t, l.Log); !slices.Equal(got, want) {
				t.Fatalf("bit %d of %s: %s", bit, name, difference(got, want))
			}
			l.m.abandon()
		}
	}
}

func difference(got, want []string) string {
	for i := range want {
		if got[i] != want[i] {
			return fmt.Sprintf("%s, want %s", got[i], want[i])
		}
	}
	return "none"
}

// TestTransactionIndexOfDamagedBatches: where the index and the batches disagree
// and a batch is bad, nobody can tell what was aborted.
func TestTransactionIndexOfDamagedBatches(t *testing.T) {
	mem, o := full(t, true)
	base := secondBase(t, mem, folderPath)
	flipBit(t, mem, filepath.Join(folderPath, segmentName(base, txnSuffix)), 17, 0)
	flipBit(t, mem, filepath.Join(folderPath, segmentName(base, logSuffix)), 70, 0)
	l := openT(t, o, mem)
	for range 2 {
		if list, err := l.AbortedTxns(base, base+1); !isCorrupt(err) {
			t.Fatal(list, err)
		}
	}
}

// TestTransactionIndexWithoutWitness: without the producers' state at its base a
// segment's index is all that there is.
func TestTransactionIndexWithoutWitness(t *testing.T) {
	mem, o := full(t, true)
	want := windows(t, openT(t, o, mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})).Log)
	base := secondBase(t, mem, folderPath)
	flipBit(t, mem, filepath.Join(folderPath, segmentName(base, snapshotSuffix)), 3, 0)
	if got := windows(t, openT(t, o, mem).Log); !slices.Equal(got, want) {
		t.Fatal(difference(got, want))
	}
}

// TestTransactionIndexAfterTruncation: what was proved holds for what is left,
// and what this process appends is taken as it is.
func TestTransactionIndexAfterTruncation(t *testing.T) {
	mem, o := full(t, true)
	bases := must(listFolder(mem, folderPath))(t).bases
	base := bases[len(bases)-1]
	flipBit(t, mem, filepath.Join(folderPath, segmentName(base, txnSuffix)), 17, 4)
	l := openT(t, o, mem)
	all := must(l.abortedBetween(base, l.EndOffset()))(t)
	last := all[len(all)-1]
	if err := l.TruncateTo(last.last); err != nil {
		t.Fatal(err)
	}
	if got := must(l.abortedBetween(base, l.EndOffset()))(t); !slices.Equal(got, all[:len(all)-1]) {
		t.Fatal(got, all)
	}
	if err := l.mark(last.producerID, 3, false, 1); err != nil {
		t.Fatal(err)
	}
	if got := must(l.abortedBetween(base, l.EndOffset()))(t); !slices.Equal(got, all) {
		t.Fatal(got, all)
	}
}
