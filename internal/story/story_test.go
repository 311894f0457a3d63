package story

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPlay checks that the current output of a command replaces the old one,
// and that commands, comments and single empty lines are preserved.
func TestPlay(t *testing.T) {
	for _, c := range []struct{ what, script, want string }{
		{"a new script", "add 1\n\nadd 2\n", "add 1\n= 1\n\nadd 2\n= 3\n"},
		{"one that is right", "add 1\n= 1\n\nadd 2\n= 3\n", "add 1\n= 1\n\nadd 2\n= 3\n"},
		{"one that is wrong", "add 1\n= 7\n= 8\n\nadd 2\n", "add 1\n= 1\n\nadd 2\n= 3\n"},
		{"comments", "# One.\nadd 1\n= 1\n\n# Two.\n# And more.\nadd 2\n", "# One.\nadd 1\n= 1\n\n# Two.\n# And more.\nadd 2\n= 3\n"},
		{"several empty lines", "\nadd 1\n\n\n\nadd 2\n\n\n", "add 1\n= 1\n\nadd 2\n= 3\n"},
		{"silence", "quiet\n= 1\n\nadd 2\n", "quiet\n\nadd 2\n= 2\n"},
	} {
		sum, told := 0, &Told{}
		got := play(c.script, told, func(line string) {
			if command := parse(t, line); command.Verb == "add" {
				sum += Number(t, command.Word(0))
				told.Line("= %d  ", sum)
			}
		})
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// TestRename checks that values that differ between runs are renamed in the
// output, and that commands are unchanged.
func TestRename(t *testing.T) {
	told := &Told{Rename: func(line string) string { return strings.ReplaceAll(line, "4711", "A-1") }}
	got := play("ask 4711", told, func(string) { told.Line("<- %d", 4711) })
	if want := "ask 4711\n<- A-1\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFirstDifference(t *testing.T) {
	for _, c := range []struct{ got, want, says string }{
		{"a\nb\n", "a\nc\n", "line 2\ngot  b\nwant c"},
		{"a\n", "a\nb\n", "line 2\ngot  \nwant b"},
		{"a", "a\nb", "1 lines, want 2"},
	} {
		if says := firstDifference(c.got, c.want); says != c.says {
			t.Errorf("%q and %q: %q, want %q", c.got, c.want, says, c.says)
		}
	}
}

func TestCommand(t *testing.T) {
	c := parse(t, "join A  range:t v=4 session=1m30s static=")
	if c.Verb != "join" || c.Rest != "A  range:t v=4 session=1m30s static=" || !slices.Equal(c.Words, []string{"A", "range:t"}) {
		t.Errorf("%+v", c)
	}
	if c.Word(1) != "range:t" || c.Word(2) != "" {
		t.Errorf("words %q and %q", c.Word(1), c.Word(2))
	}
	if c.Number("v", 9) != 4 || c.Number("w", 9) != 9 {
		t.Errorf("numbers %d and %d", c.Number("v", 9), c.Number("w", 9))
	}
	if c.Duration("session", time.Second) != 90*time.Second || c.Duration("rebalance", time.Second) != time.Second {
		t.Errorf("durations %v and %v", c.Duration("session", time.Second), c.Duration("rebalance", time.Second))
	}
	if s := c.Text("static"); s == nil || *s != "" || c.Text("other") != nil {
		t.Errorf("texts %v and %v", c.Text("static"), c.Text("other"))
	}
}
