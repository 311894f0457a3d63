package groups

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// tenure is the time in which a member owned a partition.
type tenure struct {
	member   string
	from, to int64 // µs
	// clean: the member gave the partition back after it had committed all
	// that it printed. A member that was killed, that lost the partition, or
	// whose commit failed leaves records that the next one reads again.
	clean   bool
	records []event
}

// Check returns what is wrong with the whole history, in Kafka's terms and the
// numbers of the invariants:
//
//  1. at least once: every offset below the ends was printed by somebody;
//  2. G1: no generation has two members that print records of one partition,
//     and no partition has two owners at a time;
//  3. G10: what a member printed before it gave the partition back cleanly is
//     not printed again;
//  4. G6: the committed offset of a partition never goes back;
//  5. G5: a member that gets a partition after a commit begins behind it.
//
// The order of events is that of their times, which one clock gives to all: a
// worker takes the time of a loss before, and of a gain after the broker knows.
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

// tenures cuts the history into who owned what when, in the order of begin.
func tenures(events []event) map[string][]*tenure {
	all := map[string][]*tenure{}
	open := map[[2]string]*tenure{}
	failed := map[string]bool{} // members with a failed commit since
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

// checkGenerations: one generation, one partition, one member (G1).
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

// checkCommits: what is committed only grows (G6).
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

// checkOverlap: one owner at a time (G1), where each of them knew when it ended.
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

// checkTwice: after a clean handover nothing comes again (G10).
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

// checkResume: a new owner begins behind what was committed before (G5).
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
