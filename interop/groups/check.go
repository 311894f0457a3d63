package groups

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// tenure is a period in which a member owned a partition.
type tenure struct {
	member   string
	from, to int64 // µs
	// clean: the member gave the partition back after it had committed
	// everything that it printed. If the member was killed, lost the partition,
	// or had a failed commit, the next owner reads some records again.
	clean   bool
	records []event
}

// Check returns all violations in the history, in Kafka's terms and with the
// numbers of the invariants:
//
//  1. At least once: every offset below the ends was printed by a member.
//  2. G1: in each generation only one member prints records of a partition, and
//     a partition has only one owner at a time.
//  3. G10: records that a member printed before it gave the partition back
//     cleanly are not printed again.
//  4. G6: the committed offset of a partition never decreases.
//  5. G5: a member that gets a partition after a commit starts at the committed
//     offset or later.
//
// Events are ordered by time. All times are from one clock: a worker reads the
// clock before the broker knows of a loss, and after the broker knows of a
// gain.
func (h *History) Check(ends map[string]int64) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := slices.Clone(h.events)
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.time, b.time) })
	wrong := slices.Clone(h.bad)
	if lost := missing(events, ends); len(lost) > 0 {
		wrong = append(wrong, fmt.Sprintf("%d records were read by nobody, such as %s", len(lost), lost[0]))
	}
	wrong = append(wrong, checkGenerations(events)...)
	wrong = append(wrong, checkCommits(events)...)
	for p, all := range tenures(events) {
		wrong = append(wrong, checkOverlap(p, all)...)
		wrong = append(wrong, checkTwice(p, all)...)
		wrong = append(wrong, checkResume(p, all, events)...)
	}
	return wrong[:min(len(wrong), 20)]
}

// tenures splits the history into tenures, ordered by their begin.
func tenures(events []event) map[string][]*tenure {
	all := map[string][]*tenure{}
	open := map[[2]string]*tenure{}
	failed := map[string]bool{} // members with a failed commit since the assignment
	end := func(p string, e event, clean bool) {
		key := [2]string{p, e.member}
		if t := open[key]; t != nil {
			t.to, t.clean = e.time, clean && !failed[e.member]
			delete(open, key)
		}
	}
	for _, e := range events {
		switch e.kind {
		case "assigned":
			for _, p := range e.at {
				if open[[2]string{p, e.member}] == nil {
					t := &tenure{member: e.member, from: e.time, to: math.MaxInt64}
					open[[2]string{p, e.member}] = t
					all[p] = append(all[p], t)
				}
			}
		case "revoked", "lost":
			for _, p := range e.at {
				end(p, e, e.kind == "revoked")
			}
		case "left", "killed":
			for p := range all {
				end(p, e, e.kind == "left")
			}
		case "failed":
			failed[e.member] = true
		case "record":
			if t := open[[2]string{e.at[0], e.member}]; t != nil {
				t.records = append(t.records, e)
			}
		}
	}
	return all
}

// checkGenerations: in each generation a partition has one member (G1).
func checkGenerations(events []event) []string {
	type key struct {
		p   string
		gen int32
	}
	reader := map[key]string{}
	var wrong []string
	for _, e := range events {
		if e.kind != "record" || e.gen < 0 {
			continue
		}
		k := key{e.at[0], e.gen}
		if before, ok := reader[k]; ok && before != e.member {
			wrong = append(wrong, fmt.Sprintf("%s is read by %s and %s in generation %d (G1)", k.p, before, e.member, k.gen))
		}
		reader[k] = e.member
	}
	return wrong
}

// checkCommits: committed offsets only grow (G6).
func checkCommits(events []event) []string {
	last := map[string]event{}
	var wrong []string
	for _, e := range events {
		if e.kind != "committed" {
			continue
		}
		if before := last[e.at[0]]; before.offset > e.offset {
			wrong = append(wrong, fmt.Sprintf("%s: %s committed %d after %s had committed %d (G6)", e.at[0], e.member, e.offset, before.member, before.offset))
		}
		last[e.at[0]] = e
	}
	return wrong
}

// checkOverlap: a partition has one owner at a time (G1), for owners that knew
// the end of their tenure.
func checkOverlap(p string, all []*tenure) []string {
	var wrong []string
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.clean && b.from < a.to && a.member != b.member {
				wrong = append(wrong, fmt.Sprintf("%s: %s owned it from %d to %d, and %s from %d (G1)", p, a.member, a.from, a.to, b.member, b.from))
			}
		}
	}
	return wrong
}

// checkTwice: after a clean handover no record is printed again (G10).
func checkTwice(p string, all []*tenure) []string {
	printed := map[int64]*tenure{}
	var wrong []string
	for _, t := range all {
		for _, e := range t.records {
			if before := printed[e.offset]; before != nil && before.clean {
				wrong = append(wrong, fmt.Sprintf("%s offset %d: printed by %s, and after a clean handover by %s (G10)", p, e.offset, before.member, t.member))
			}
			printed[e.offset] = t
		}
	}
	return wrong
}

// checkResume: a new owner starts at the committed offset or later (G5).
func checkResume(p string, all []*tenure, events []event) []string {
	var wrong []string
	for _, t := range all {
		if len(t.records) == 0 {
			continue
		}
		for _, e := range events {
			if e.kind == "committed" && e.at[0] == p && e.time < t.from && e.offset > t.records[0].offset {
				wrong = append(wrong, fmt.Sprintf("%s: %s had committed %d, %s began at %d (G5)", p, e.member, e.offset, t.member, t.records[0].offset))
				break
			}
		}
	}
	return wrong
}
