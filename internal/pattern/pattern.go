// Package pattern compiles the regular expressions of clients, and matches names
// with them, within bounds. They are RE2's, as Go's are.
//
// A short expression can be a large program: x{1000} is a thousand x, and a
// folded range asks for each of its characters. So what an expression may cost is
// estimated before anything is done that costs it.
package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// The bounds of an expression. Each is reached in less than 100 ms.
const (
	// MaxLength is in bytes.
	MaxLength = 8 << 10
	// MaxProgram is in instructions; a literal takes one for each character.
	MaxProgram = 10_000
	maxClasses = 256 // Unicode classes, such as \pL
	maxFolded  = 8   // ranges to a character beyond ASCII, without regard to case
)

// ErrTooLarge is what Check and Compile wrap for an expression beyond a bound.
var ErrTooLarge = errors.New("too large")

// Check tells whether an expression is valid and within the bounds: the error is
// a *syntax.Error, or wraps ErrTooLarge.
func Check(expr string) error {
	_, err := parse(expr)
	return err
}

func parse(expr string) (*syntax.Regexp, error) {
	if len(expr) > MaxLength {
		return nil, fmt.Errorf("%w: over %d bytes", ErrTooLarge, MaxLength)
	}
	if strings.Count(expr, `\p`)+strings.Count(expr, `\P`) > maxClasses {
		return nil, fmt.Errorf("%w: over %d Unicode classes", ErrTooLarge, maxClasses)
	}
	if folds(expr) && wideRanges(expr) > maxFolded {
		return nil, fmt.Errorf("%w: over %d ranges beyond ASCII without regard to case", ErrTooLarge, maxFolded)
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if size(tree) > MaxProgram {
		return nil, fmt.Errorf("%w: over %d steps when compiled", ErrTooLarge, MaxProgram)
	}
	return tree, nil
}

// folds tells whether there may be a flag that disregards case.
func folds(expr string) bool {
	for rest := expr; ; {
		_, after, found := strings.Cut(rest, "(?")
		if !found {
			return false
		}
		flags := strings.TrimLeft(after, "imsU-")
		if strings.Contains(after[:len(after)-len(flags)], "i") {
			return true
		}
		rest = after
	}
}

// wideRanges counts what may be a range whose end is not an ASCII character as
// it stands.
func wideRanges(expr string) (n int) {
	for i := range len(expr) - 1 {
		if expr[i] == '-' && (expr[i+1] == '\\' || expr[i+1] >= 0x80) {
			n++
		}
	}
	return n
}

// size is about how many instructions an expression takes, at most a little
// above MaxProgram.
func size(re *syntax.Regexp) int {
	n := 1
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpCapture:
		n = 2
	}
	for _, sub := range re.Sub {
		if n += size(sub); n > MaxProgram {
			return n
		}
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max) + 1
	}
	return min(n, MaxProgram+1)
}

// Pattern matches whole names. Several goroutines may use it.
type Pattern struct {
	re   *regexp.Regexp
	size int
}

// Compile compiles an expression; for the errors see Check.
func Compile(expr string) (*Pattern, error) {
	tree, err := parse(expr)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(`\A(?:` + expr + `)\z`)
	if err != nil {
		return nil, err
	}
	return &Pattern{re: re, size: size(tree)}, nil
}

// Match tells whether a whole name matches.
func (p *Pattern) Match(name string) bool { return p.re.MatchString(name) }

// Cost is how many steps Match takes at most: one takes some 20 ns.
func (p *Pattern) Cost(name string) int64 { return int64(p.size) * int64(len(name)+1) }
