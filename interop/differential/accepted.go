package differential

import (
	"fmt"
	"os"
	"strings"
)

// Accepted are the differences for which docs/differences.md gives a reason. In
// that page a block fenced as ```differential lists them, one per line:
//
//	SCRIPT/CASE PATH
//
// Both are globs in which * matches any text. The heading above the block is
// the name of the difference; the text around it is the reason.
type Accepted struct {
	rules []*rule
}

type rule struct {
	heading   string
	line      int
	caseGlob  string
	pathGlob  string
	timesUsed int
}

// LoadAccepted reads and parses the page.
func LoadAccepted(file string) (*Accepted, error) {
	page, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	a, err := ParseAccepted(string(page))
	if err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	return a, nil
}

// ParseAccepted parses the text of the page.
func ParseAccepted(page string) (*Accepted, error) {
	a := &Accepted{}
	heading, inside := "", false
	for i, line := range strings.Split(page, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```differential"
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
		case inside && strings.TrimSpace(line) != "":
			words := strings.Fields(line)
			if len(words) != 2 {
				return nil, fmt.Errorf("%d: want SCRIPT/CASE PATH, got %q", i+1, line)
			}
			a.rules = append(a.rules, &rule{heading: heading, line: i + 1, caseGlob: words[0], pathGlob: words[1]})
		}
	}
	return a, nil
}

// Covers reports whether a difference is accepted.
func (a *Accepted) Covers(d Difference) bool {
	covered := false
	for _, r := range a.rules {
		if matches(r.caseGlob, d.Case) && matches(r.pathGlob, d.Path) {
			r.timesUsed++
			covered = true
		}
	}
	return covered
}

// Unused lists the rules that matched nothing: the page describes a difference
// that no longer exists.
func (a *Accepted) Unused() []string {
	var out []string
	for _, r := range a.rules {
		if r.timesUsed == 0 {
			out = append(out, fmt.Sprintf("line %d (%s): %s %s", r.line, r.heading, r.caseGlob, r.pathGlob))
		}
	}
	return out
}
