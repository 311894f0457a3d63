package groups

import (
	"strings"
	"testing"
)

// TestCheck: each rule finds its own violation, and a correct history has none.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		want  string
		lines []string
	}{
		"good": {"", []string{
			"a 1 assigned 1 t/0", "a 2 record 1 t/0 0 x", "a 3 committed 1 t/0 1", "a 4 revoked 1 t/0",
			"b 5 assigned 2 t/0", "b 6 record 2 t/0 1 x", "b 7 killed", "c 8 assigned 3 t/0", "c 9 record 3 t/0 1 x", "c 10 committed 3 t/0 2", "c 11 left 3"}},
		"lost record":     {"read by nobody", []string{"a 1 assigned 1 t/0", "a 2 record 1 t/0 0 x"}},
		"two readers":     {"in generation 1 (G1)", []string{"a 1 assigned 1 t/0", "a 2 record 1 t/0 0 x", "b 1 assigned 1 t/0", "b 3 record 1 t/0 1 x"}},
		"two owners":      {"and b from 2 (G1)", []string{"a 1 assigned 1 t/0", "a 2 record -1 t/0 0 x", "b 2 assigned 1 t/0", "b 3 record -1 t/0 1 x", "a 4 revoked 1 t/0"}},
		"commit back":     {"(G6)", []string{"a 1 assigned 1 t/0", "a 2 record 1 t/0 0 x", "a 3 record 1 t/0 1 x", "a 4 committed 1 t/0 2", "a 5 committed 1 t/0 1"}},
		"read again":      {"(G10)", []string{"a 1 assigned 1 t/0", "a 2 record 1 t/0 0 x", "a 3 record 1 t/0 1 x", "a 4 revoked 1 t/0", "b 5 assigned 2 t/0", "b 6 record 2 t/0 1 x"}},
		"commit lost":     {"(G5)", []string{"a 1 assigned 1 t/0", "a 2 record 1 t/0 0 x", "a 3 record 1 t/0 1 x", "a 4 committed 1 t/0 2", "a 5 killed", "b 6 assigned 2 t/0", "b 7 record 2 t/0 1 x"}},
		"failed is known": {"", []string{"a 1 assigned 1 t/0", "a 2 record 1 t/0 0 x", "a 3 record 1 t/0 1 x", "a 4 failed 1 y", "a 5 revoked 1 t/0", "b 6 assigned 2 t/0", "b 7 record 2 t/0 1 x"}},
		"nonsense":        {"printed", []string{"a 1 assigned 1 t/0", "a 2 record 1 t/0 0 x", "a 3 record 1 t/0 1 x", "a x"}},
	} {
		h := NewHistory()
		for _, line := range c.lines {
			member, rest, _ := strings.Cut(line, " ")
			if at, ok := strings.CutSuffix(rest, " killed"); ok {
				e, _ := parseEvent(member, at+" left 0")
				e.kind = "killed"
				h.events = append(h.events, e)
				continue
			}
			h.note(member, rest)
		}
		got := strings.Join(h.Check(map[string]int64{"t/0": 2}), "; ")
		if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
