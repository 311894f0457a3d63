package monitoring

import (
	"fmt"
	"unicode/utf8"

	"github.com/zeebo/xxh3"
)

// The bounds of what one scrape holds in memory: a part of ottla.memory.max, and
// of that a part for groups, since anybody can make groups.
const (
	scrapeShare   = 16
	groupsShare   = 3 // eighths
	leastScrape   = 8 << 20
	unknownMemory = 2 << 30 // what ottla.memory.max counts as when it is not known
)

// bound is how many bytes of series a scrape may still make, of topics with their
// partitions and of groups, and what it left out.
type bound struct {
	topics, groups int64
	omitted        omitted
}

// omitted counts what has no series of its own in a scrape. Topics and partitions
// of groups that are omitted do not count.
type omitted struct {
	topics, partitions, groups, groupTopics, groupPartitions int
}

func newBound(memory int64) bound {
	if memory == 0 {
		memory = unknownMemory
	}
	most := max(leastScrape, memory/scrapeShare)
	groups := most / 8 * groupsShare
	return bound{topics: most - groups, groups: groups}
}

// within builds the series of one thing, unless those of others have taken the
// room; then it counts it as omitted. One thing has a few series with labels of a
// bounded length, so that room is exceeded by little.
func (s *scrape) within(room *int64, omitted *int, build func()) {
	if *room <= 0 {
		*omitted++
		return
	}
	before := s.out.size()
	build()
	*room -= s.out.size() - before
}

// left tells what the scrape left out.
func (s *scrape) left() {
	for _, c := range []struct {
		kind  string
		count int
	}{
		{"topics", s.omitted.topics}, {"partitions", s.omitted.partitions},
		{"groups", s.omitted.groups}, {"group_topics", s.omitted.groupTopics}, {"group_partitions", s.omitted.groupPartitions},
	} {
		s.gauge("ottla_metrics_omitted", "What has no series of its own in this answer.", float64(c.count), "kind", c.kind)
	}
}

// mostLabel is how many bytes the value of a label has at most. A name of a topic
// has 249.
const mostLabel = 255

// label is a text that somebody chose as the value of a label. What is no UTF-8 in
// it is written as \xNN. A longer text than mostLabel is cut, and ends with a hash
// of all of it, so that two texts become one only if somebody wants them to.
func label(text string) string {
	if len(text) <= mostLabel && utf8.ValidString(text) {
		return text
	}
	const hash = "~0123456789abcdef"
	var b []byte
	for i, r := range text {
		before := len(b)
		if _, size := utf8.DecodeRuneInString(text[i:]); r == utf8.RuneError && size == 1 {
			b = fmt.Appendf(b, `\x%02x`, text[i])
		} else {
			b = utf8.AppendRune(b, r)
		}
		if len(b) > mostLabel-len(hash) {
			return fmt.Sprintf("%s~%016x", b[:before], xxh3.HashString(text))
		}
	}
	return string(b)
}
