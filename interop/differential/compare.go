package differential

import (
	"fmt"
	"strings"
)

// Difference is a line of an answer that only one broker gave, or that differs
// between the brokers. An empty side has no such line.
type Difference struct {
	Case    string
	Version int16
	Path    string
	Oracle  string
	Got     string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s v%d %s: want %s, got %s", d.Case, d.Version, d.Path, orNothing(d.Oracle), orNothing(d.Got))
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// Compare lists the differences between the answers of two brokers to the same
// script. One of them may have fewer answers, because its run ended early.
func Compare(oracle, got []Answer) []Difference {
	var out []Difference
	for i, want := range oracle {
		if i >= len(got) {
			return append(out, Difference{Case: want.Case, Version: want.Version, Path: "script",
				Oracle: "an answer", Got: "the run ended before"})
		}
		out = append(out, compareLines(want, got[i])...)
	}
	return out
}

func compareLines(want, got Answer) []Difference {
	other := make(map[string]string, len(got.Lines))
	for _, l := range got.Lines {
		other[l.Path] = shown(l.Value)
	}
	var out []Difference
	for _, l := range want.Lines {
		if v := other[l.Path]; v != shown(l.Value) {
			out = append(out, Difference{want.Case, want.Version, l.Path, shown(l.Value), v})
		}
		delete(other, l.Path)
	}
	for _, l := range got.Lines { // lines that the oracle does not have, in order
		if v, ok := other[l.Path]; ok {
			out = append(out, Difference{want.Case, want.Version, l.Path, "", v})
		}
	}
	return out
}

// shown distinguishes a line without a value from no line.
func shown(value string) string {
	if value == "" {
		return "(present)"
	}
	return value
}

// matches reports whether s matches glob; * matches any text.
func matches(glob, s string) bool {
	parts := strings.Split(glob, "*")
	if len(parts) == 1 {
		return glob == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}
