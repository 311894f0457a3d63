package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestProperties(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       string // name=value pairs, each %q, with lines
	}{
		{"nothing", "", ``},
		{"separators", "a=1\nb:2\nc 3\nd\t4\ne\f5", `1 "a"="1" 2 "b"="2" 3 "c"="3" 4 "d"="4" 5 "e"="5"`},
		{"white space around separators", "  a = 1\n\tb : 2\nc  =  3", `1 "a"="1" 2 "b"="2" 3 "c"="3"`},
		{"only the first separator counts", "a==1\nb=:2\nc = = 3\nd:e=f", `1 "a"="=1" 2 "b"=":2" 3 "c"="= 3" 4 "d"="e=f"`},
		{"no value", "a\nb=\nc:  \n", `1 "a"="" 2 "b"="" 3 "c"=""`},
		{"trailing blanks stay", "a=1  \n", `1 "a"="1  "`},
		{"comments", "# x=1\n! y=2\n  # z=3\na=1 # no comment\n#continued \\\nb=2", `4 "a"="1 # no comment" 6 "b"="2"`},
		{"blank lines", "\n\n  \n\t\na=1\n\n", `5 "a"="1"`},
		{"line ends", "a=1\rb=2\r\nc=3\n\rd=4", `1 "a"="1" 2 "b"="2" 3 "c"="3" 5 "d"="4"`},
		{"continuation", "a=1,\\\n   2,\\\r\n\t3\nb=4", `1 "a"="1,2,3" 4 "b"="4"`},
		{"a continued line is no comment", "a=1\\\n#2", `1 "a"="1#2"`},
		{"a comment after an empty continued line", "\\\n#a=1\nb=2", `3 "b"="2"`},
		{"continuation over a blank line", "a=1\\\n\nb=2", `1 "a"="1" 3 "b"="2"`},
		{"an even number of backslashes", `a=1\\` + "\nb=2", `1 "a"="1\\" 2 "b"="2"`},
		{"three backslashes", `a=1\\\` + "\n2", `1 "a"="1\\2"`},
		{"a backslash at the end", `a=1\`, `1 "a"="1"`},
		{"escapes", `a=\t\n\r\f\\\x\:\ \=`, `1 "a"="\t\n\r\f\\x: ="`},
		{"escapes in names", `a\ b\=c\:d=1`, `1 "a b=c:d"="1"`},
		{"unicode", `a=\u00e4\u20AC` + "ö€", `1 "a"="ä€ö€"`},
		{"surrogates", `a=\ud83d\ude00`, `1 "a"="😀"`},
		{"half a surrogate", `a=\ud83dx`, `1 "a"="` + "\ufffd" + `x"`},
		{"two halves that do not match", `a=\ud83d\u0041`, `1 "a"="` + "\ufffd" + `A"`},
		{"byte order mark", "\ufeffa=1", `1 "a"="1"`},
		{"a name of escapes", `\=\==1`, `1 "=="="1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, err := ParseProperties(c.text)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range all {
				got = append(got, fmt.Sprintf("%d %q=%q", p.Line, p.Name, p.Value))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%q:\ngot  %s\nwant %s", c.text, strings.Join(got, " "), c.want)
			}
		})
	}
}

func TestPropertiesRefused(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"twice", "a=1\nb=2\n\na=3", "line 4: a is set a second time (first in line 1)"},
		{"twice, escaped once", "ab=1\n\\u0061b=3", "line 2: ab is set a second time (first in line 1)"},
		{"no name", "a=1\n = 2", `line 2: a name is missing before "= 2"`},
		{"unicode cut short", `a=\u12`, `line 1: \u is not followed by four hexadecimal digits`},
		{"unicode in a name", `\uzzzz=1`, `line 1: \u is not followed by four hexadecimal digits`},
		{"not UTF-8", "a=\xff", "the file is not UTF-8"},
		{"too large", strings.Repeat("#", maxFileBytes+1), "the file has 1048577 bytes, more than 1048576"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, err := ParseProperties(c.text)
			if err == nil || err.Error() != c.want || all != nil {
				t.Errorf("got %v, %v", all, err)
			}
		})
	}
}

// encodeProperties writes entries in a form that can be parsed again. It
// escapes every character that may need it.
func encodeProperties(all []Property) string {
	var out strings.Builder
	half := func(s string) {
		for _, r := range s {
			switch {
			case r == '\n':
				out.WriteString(`\n`)
			case r == '\ufeff':
				out.WriteString(`\ufeff`) // no byte order mark
			case r == '\r':
				out.WriteString(`\r`)
			case strings.ContainsRune(" \t\f=:#!\\", r):
				out.WriteRune('\\')
				if named := map[rune]rune{'\t': 't', '\f': 'f'}[r]; named != 0 {
					r = named
				}
				out.WriteRune(r)
			default:
				out.WriteRune(r)
			}
		}
	}
	for _, p := range all {
		half(p.Name)
		out.WriteByte('=')
		half(p.Value)
		out.WriteByte('\n')
	}
	return out.String()
}

// FuzzProperties: parsing terminates for every input, and the encoded result
// can be parsed again with the same result.
func FuzzProperties(f *testing.F) {
	for _, seed := range []string{"a=1\nb:2\nc 3", "a=1,\\\n 2", `a\ b=\u00e4\ud83d\ude00`, "# x\n!y\n\r\n\\", "\ufeffa", "=", `a=\\\`, "a\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ParseProperties(text)
		if err != nil {
			if err.Error() == "" || strings.Contains(err.Error(), "\n") {
				t.Errorf("message %q is not one line", err)
			}
			return
		}
		encoded := encodeProperties(all)
		if len(encoded) > maxFileBytes {
			return
		}
		again, err := ParseProperties(encoded)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		same := func(a, b Property) bool { return a.Name == b.Name && a.Value == b.Value }
		if !slices.EqualFunc(all, again, same) {
			t.Errorf("%q read as %v, and that as %v", text, all, again)
		}
	})
}
