// Package story runs golden scripts: text files of commands, each followed by
// its output. A test runs the commands on the real code and compares the output
// with the file. So the behaviour of a state machine can be read and reviewed
// as text.
//
// Start reading at Play.
package story

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the current output of the stories to testdata")

// Play runs each file that matches the pattern as a subtest. begin starts a
// story and returns a function that executes one command and writes its output.
//
// A script consists of paragraphs, separated by empty lines: a command on the
// first line and its output below. Lines that begin with # are comments and are
// preserved. With the flag -rewrite the files are rewritten with the current
// output; `make golden` does this for all packages. Review the diff.
func Play(t *testing.T, pattern string, begin func(*testing.T, *Told) func(Command)) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			told := &Told{}
			carryOut := begin(t, told)
			got := play(string(want), told, func(line string) { carryOut(parse(t, line)) })
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s has different output now:\n%s", file, firstDifference(got, string(want)))
			}
		})
	}
}

// play executes the commands of a script and returns the script with their
// current output.
func play(script string, told *Told, carryOut func(line string)) string {
	outcome := false // the following lines are the old output of a command
	for _, line := range strings.Split(strings.TrimRight(script, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
			told.write(line)
		case line == "":
			if outcome {
				told.write("")
			}
			outcome = false
		case !outcome:
			told.write(line)
			carryOut(line)
			outcome = true
		}
	}
	return told.text.String()
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\ngot  %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// Told collects the script with the current output.
type Told struct {
	// Rename, if set, replaces values that differ between runs (ids) by fixed
	// names.
	Rename func(line string) string

	text strings.Builder
}

// Line writes a line of output of the last command.
func (o *Told) Line(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if o.Rename != nil {
		line = o.Rename(line)
	}
	o.write(strings.TrimRight(line, " "))
}

func (o *Told) write(line string) { o.text.WriteString(line + "\n") }

// Command is the first line of a paragraph: a verb and words.
type Command struct {
	Verb string
	// Rest is the text after the verb, unchanged.
	Rest string
	// Words are the words of Rest that are not options, in order.
	Words []string
	// Options are the words KEY=VALUE.
	Options map[string]string

	t testing.TB
}

func parse(t testing.TB, line string) Command {
	c := Command{Options: map[string]string{}, t: t}
	c.Verb, c.Rest, _ = strings.Cut(line, " ")
	for _, w := range strings.Fields(c.Rest) {
		if key, value, ok := strings.Cut(w, "="); ok {
			c.Options[key] = value
		} else {
			c.Words = append(c.Words, w)
		}
	}
	return c
}

// Word returns the i-th word, "" if there are fewer.
func (c Command) Word(i int) string {
	if i >= len(c.Words) {
		return ""
	}
	return c.Words[i]
}

// Text returns the value of an option, nil if it is not given.
func (c Command) Text(key string) *string {
	if value, ok := c.Options[key]; ok {
		return &value
	}
	return nil
}

// Number returns the value of an option that is an integer, or otherwise if it
// is not given.
func (c Command) Number(key string, otherwise int) int {
	if value, ok := c.Options[key]; ok {
		return Number(c.t, value)
	}
	return otherwise
}

// Duration returns the value of an option such as 30s, or otherwise if it is
// not given.
func (c Command) Duration(key string, otherwise time.Duration) time.Duration {
	if value, ok := c.Options[key]; ok {
		return Duration(c.t, value)
	}
	return otherwise
}

// Number parses an integer of a script.
func Number(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Duration parses a duration of a script, such as 30s.
func Duration(t testing.TB, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
