package pattern

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		expr, name string
		want       bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"a", "ba", false}, {"a|ab", "ab", true}, {"", "", true}, {"", "a", false},
		{"logs-.*", "logs-", true}, {"(?i)LOGS-.*", "logs-x", true}, {"^logs-.*$", "logs-x", true}, {`\pL+`, "äé", true}, {"a{2,3}", "aa", true}, {"a{2,3}", "a", false},
	} {
		p, err := Compile(test.expr)
		if err != nil {
			t.Errorf("%s: %v", test.expr, err)
			continue
		}
		if got := p.Match(test.name); got != test.want {
			t.Errorf("%s matches %q: %v", test.expr, test.name, got)
		}
	}
	// An expression is no way out of the brackets around it.
	for _, expr := range []string{"(", "a)(b", ")", "[", `\8`, "a**", "(?<n>a", `\p{No}\p{Nothing}`} {
		var invalid *syntax.Error
		if _, err := Compile(expr); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

// TestBounds: each expression is short and costs much; what is as long and costs
// little is taken.
func TestBounds(t *testing.T) {
	for _, expr := range []string{
		strings.Repeat("a", MaxLength+1),
		strings.Repeat(".?", 16_000),
		`(?:abcdefghijk){1000}`,
		`a{1000}` + strings.Repeat(`(?:b{500}c{500})?`, 10),
		`\pL{1000}` + strings.Repeat(`(a{900})?`, 10),
		strings.Repeat(`\pL`, maxClasses+1),
		strings.Repeat(`\P{Lu}`, maxClasses+1),
		`(?i)[` + strings.Repeat("A-𞥂", maxFolded+1) + `]`,
		`(?si)` + strings.Repeat(`[A-\x{1e942}]`, maxFolded+1),
		`(?P<x>a)(?s-i:b)` + strings.Repeat(`[A-\x{1e942}]`, maxFolded+1),
	} {
		if err := Check(expr); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%.40s of %d bytes: %v", expr, len(expr), err)
		}
		if _, err := Compile(expr); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%.40s of %d bytes is compiled: %v", expr, len(expr), err)
		}
	}
	for _, expr := range []string{
		strings.Repeat("a", MaxLength),
		`(?:abcdefg){1000}`,
		strings.Repeat(`\pL`, maxClasses),
		`(?i)` + strings.Repeat("[a-z0-9]+-x", 100),
		strings.Repeat(`[A-\x{1e942}]`, maxFolded+1),
		`(?P<i>a)` + strings.Repeat(`-\d`, maxFolded+1),
	} {
		if err := Check(expr); err != nil {
			t.Errorf("%.40s of %d bytes: %v", expr, len(expr), err)
		}
	}
}

// FuzzSize: what is taken compiles to a program that is not larger than was
// estimated, within a factor for what surrounds each part.
func FuzzSize(f *testing.F) {
	for _, expr := range []string{"a", "a{3,5}", "(a|b)*?", "(x{2}){3,}", "[a-c]+d?", `\bfoo\B`, "(((a)))", "a||b", "(?i)k", "(a*)*", `\Qa.b\E{2}`, "(a{0}){2}", "()|()", "((){9}){9}"} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		tree, err := parse(expr)
		if err != nil {
			return
		}
		if _, err := regexp.Compile(expr); err != nil {
			t.Fatalf("%q is valid, and is not: %v", expr, err)
		}
		program, err := syntax.Compile(tree.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		if got, most := len(program.Inst), 2*size(tree)+4; got > most {
			t.Errorf("%q: %d instructions, estimated at most %d", expr, got, most)
		}
	})
}
