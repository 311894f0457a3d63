package raft

import (
	"math/rand/v2"
	"testing"
)

// naiveIndex is the model: one row for each entry.
type naiveIndex struct {
	before anchor
	rows   []naiveRow
}

type naiveRow struct {
	term       int32
	base, next int64
}

func (m *naiveIndex) end() anchor {
	if len(m.rows) == 0 {
		return m.before
	}
	last := m.rows[len(m.rows)-1]
	return anchor{m.before.index + uint64(len(m.rows)), last.term, last.next}
}

// TestIndexModel compares the table with the model over random appends,
// truncations and drops, with enough entries to cross chunks.
func TestIndexModel(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		start := anchor{index: random.Uint64N(1000), term: 3, offset: random.Int64N(1 << 40)}
		x, m := newIndex(start), &naiveIndex{before: start}
		for range 60 {
			switch random.IntN(4) {
			case 0, 1:
				growBoth(t, random, &x, m)
			case 2:
				if n := len(m.rows); n > 0 {
					keep := n - 1 - random.IntN(min(n, 300))
					x.truncate(x.first() + uint64(keep))
					m.rows = m.rows[:keep]
				}
			case 3:
				if n := len(m.rows); n > 0 {
					gone := 1 + random.IntN(n)
					x.dropTo(x.before.index + uint64(gone))
					m.before = anchor{m.before.index + uint64(gone), m.rows[gone-1].term, m.rows[gone-1].next}
					m.rows = m.rows[gone:]
				}
			}
			compareIndex(t, seed, &x, m)
		}
	}
}

func growBoth(t *testing.T, random *rand.Rand, x *index, m *naiveIndex) {
	t.Helper()
	for range random.IntN(700) {
		end := m.end()
		row := naiveRow{term: end.term, base: end.offset, next: end.offset + 1 + random.Int64N(5)}
		if random.IntN(50) == 0 {
			row.term += 1 + random.Int32N(3)
		}
		if err := x.add(row.term, row.base, row.next); err != nil {
			t.Fatal(err)
		}
		m.rows = append(m.rows, row)
	}
}

func compareIndex(t *testing.T, seed uint64, x *index, m *naiveIndex) {
	t.Helper()
	if x.before != m.before || x.count != len(m.rows) || x.end() != m.end() {
		t.Fatalf("seed %d: the table is (%v, %d entries, %v), want (%v, %d, %v)", seed, x.before, x.count, x.end(), m.before, len(m.rows), m.end())
	}
	if got := x.term(x.before.index); got != m.before.term {
		t.Fatalf("seed %d: the term before the first entry is %d, want %d", seed, got, m.before.term)
	}
	for k, row := range m.rows {
		i := x.first() + uint64(k)
		if x.offset(i) != row.base || x.term(i) != row.term {
			t.Fatalf("seed %d: entry %d is (%d, %d), want %v", seed, i, x.offset(i), x.term(i), row)
		}
		if a, ok := x.find(row.next); !ok || a.index != i || a.offset != row.next || a.term != row.term {
			t.Fatalf("seed %d: offset %d is found at (%v, %t), want entry %d", seed, row.next, a, ok, i)
		}
		if row.next-row.base > 1 {
			if a, ok := x.find(row.base + 1); ok {
				t.Fatalf("seed %d: offset %d inside entry %d is found at %v", seed, row.base+1, i, a)
			}
		}
	}
	if a, ok := x.find(m.end().offset + 1); ok {
		t.Fatalf("seed %d: an offset behind the end is found at %v", seed, a)
	}
}

func TestIndexRefuses(t *testing.T) {
	x := newIndex(anchor{index: 7, term: 2, offset: 100})
	for _, row := range []naiveRow{{2, 99, 101}, {2, 101, 102}, {2, 100, 100}, {1, 100, 101}} {
		if x.add(row.term, row.base, row.next) == nil {
			t.Errorf("the entry %v was taken", row)
		}
	}
	if err := x.add(2, 100, 101); err != nil {
		t.Fatal(err)
	}
}
