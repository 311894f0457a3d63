// Package story plays golden scripts: text files of commands, each followed by
// what it led to. A test plays the commands on the real thing and compares what
// it tells with the file. So a state machine's behaviour is read, and reviewed,
// as prose.
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

var rewrite = flag.Bool("rewrite", false, "write what the stories say now into testdata")

// Play plays each file that the pattern names, as a subtest. begin starts a
// story: what it returns carries out one command, and tells what comes of it.
//
// A script is paragraphs, apart by empty lines: a command on the first line, and
// below it what it led to. Lines that begin with # are comments and stay where
// they are. With the flag -rewrite the files are written anew, which
// `make golden` does for all rooms; read the diff.
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
				t.Errorf("%s tells another story now:\n%s", file, firstDifference(got, string(want)))
			}
		})
	}
}

// play carries out the commands of a script and returns the script with what
// they lead to now.
func play(script string, told *Told, carryOut func(line string)) string {
	outcome := false // of the last command, told anew
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

// Told is the script as it is told now.
type Told struct {
	// Rename, where it is set, gives what no two runs have in common (ids) a
	// name that they do.
	Rename func(line string) string

	text strings.Builder
}

// Line tells a line of what the last command led to.
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
	// Rest is what follows the verb, as it stands.
	Rest string
	// Words are the words of Rest that are no options, in their order.
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

// Word is the i-th word, "" when there are fewer.
func (c Command) Word(i int) string {
	if i >= len(c.Words) {
		return ""
	}
	return c.Words[i]
}

// Text is the value of an option, nil when it is not given.
func (c Command) Text(key string) *string {
	if value, ok := c.Options[key]; ok {
		return &value
	}
	return nil
}

// Number is the value of an option that is a whole number.
func (c Command) Number(key string, otherwise int) int {
	if value, ok := c.Options[key]; ok {
		return Number(c.t, value)
	}
	return otherwise
}

// Duration is the value of an option such as 30s.
func (c Command) Duration(key string, otherwise time.Duration) time.Duration {
	if value, ok := c.Options[key]; ok {
		return Duration(c.t, value)
	}
	return otherwise
}

// Number reads a whole number of a script.
func Number(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Duration reads a duration of a script, such as 30s.
func Duration(t testing.TB, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
