package cli

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/twmb/franz-go/pkg/kgo"
)

// readInput gives all records as text: key=value, with ~ for null.
func readInput(t *testing.T, input string, o inputOptions) (all []string, err error) {
	t.Helper()
	if o.delimiter == "" {
		o.delimiter = "\n"
	}
	in, err := newRecordReader(iotest.OneByteReader(strings.NewReader(input)), o)
	if err != nil {
		return nil, err
	}
	text := func(b []byte) string {
		if b == nil {
			return "~"
		}
		return string(b)
	}
	for {
		r, err := in.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		line := text(r.Key) + "=" + text(r.Value)
		for _, h := range r.Headers {
			line += " " + h.Key + ":" + text(h.Value)
		}
		all = append(all, line)
	}
}

func TestInput(t *testing.T) {
	cases := []struct {
		name  string
		input string
		o     inputOptions
		want  string
	}{
		{"lines", "a\nb\n", inputOptions{}, "~=a|~=b"},
		{"last line without its end", "a\nb", inputOptions{}, "~=a|~=b"},
		{"an empty line is an empty value", "a\n\nb\n", inputOptions{}, "~=a|~=|~=b"},
		{"nothing", "", inputOptions{}, ""},
		{"empty as null", "a\n\n", inputOptions{emptyIsNull: true}, "~=a|~=~"},
		{"another delimiter", "a;b;", inputOptions{delimiter: ";"}, "~=a|~=b"},
		{"a long delimiter", "a--b-c--", inputOptions{delimiter: "--"}, "~=a|~=b-c"},
		{"half a delimiter at the end", "a--b-", inputOptions{delimiter: "--"}, "~=a|~=b-"},
		{"keys", "k:v\nk2:a:b\nnone\n:v\n", inputOptions{keyDelimiter: ":"}, "k=v|k2=a:b|~=none|=v"},
		{"keys, empty as null", ":v\nk:\n", inputOptions{keyDelimiter: ":", emptyIsNull: true}, "~=v|k=~"},
		{"a key for those without", "k:v\nx\n", inputOptions{keyDelimiter: ":", key: []byte("d")}, "k=v|d=x"},
		{"a fixed key", "v\n", inputOptions{key: []byte("d")}, "d=v"},
		{"a fixed empty key", "v\n", inputOptions{key: []byte{}}, "=v"},
		{"headers", "v\n", inputOptions{headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "n"}}}, "~=v h:1 n:~"},
		{"windows line ends are kept", "v\r\n", inputOptions{}, "~=v\r"},
		{"envelopes", `{"key":"k","payload":"v","headers":["h","x"]}` + "\n\n" + `{"payload":null}`, inputOptions{envelopes: true, delimiter: ";"}, "k=v h:x|~=~"},
		{"a format", "k1 v1\nk2 v2\n", inputOptions{format: `%k %s\n`}, "k1=v1|k2=v2"},
		{"a format of lengths", "2 5k1hello", inputOptions{format: `%K %S%k%s`}, "k1=hello"},
	}
	for _, c := range cases {
		got, err := readInput(t, c.input, c.o)
		if err != nil || strings.Join(got, "|") != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, strings.Join(got, "|"), err, c.want)
		}
	}
}

func TestInputErrors(t *testing.T) {
	got, err := readInput(t, "{}\n\nx\n", inputOptions{envelopes: true})
	if len(got) != 1 || err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("a broken third line: %q, %v", got, err)
	}
	if _, err := newRecordReader(strings.NewReader(""), inputOptions{format: "%"}); err == nil {
		t.Error("a broken format was accepted")
	}
	in, err := newRecordReader(iotest.ErrReader(io.ErrUnexpectedEOF), inputOptions{delimiter: "\n"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a broken input: %v", err)
	}
	endless := &pieceReader{in: bufio.NewReader(zeros{}), delimiter: []byte("\n"), limit: 100_000}
	if _, err := endless.next(); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a record without an end: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestInputOwnsItsMemory: a record must not change when the next one is read.
func TestInputOwnsItsMemory(t *testing.T) {
	in, err := newRecordReader(strings.NewReader("first\nsecond\n"), inputOptions{delimiter: "\n"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := in.next()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.next(); err != nil {
		t.Fatal(err)
	}
	if string(first.Value) != "first" {
		t.Errorf("the first record became %q", first.Value)
	}
}
