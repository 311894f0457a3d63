package protocol

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A string that its field cannot hold is cut when it is an error message, and
// refused elsewhere; in both encodings of strings.
func TestEncodeOfLongStrings(t *testing.T) {
	long := strings.Repeat("é", maxString)
	for _, version := range []int16{2, 7} { // CreateTopics: from 5 on strings are compact
		resp := kmsg.NewPtrCreateTopicsResponse()
		resp.Version = version
		for _, name := range []string{"a", "b"} {
			topic := kmsg.NewCreateTopicsResponseTopic()
			topic.Topic, topic.ErrorMessage = name, &long
			resp.Topics = append(resp.Topics, topic)
		}
		body, err := Encode([]byte("head"), resp)
		if err != nil {
			t.Fatal(err)
		}
		read := kmsg.NewPtrCreateTopicsResponse()
		read.Version = version
		if err := read.ReadFrom(body[len("head"):]); err != nil || len(read.Topics) != 2 || read.Topics[1].Topic != "b" {
			t.Fatalf("version %d: %v, %+v", version, err, read)
		}
		if text := *read.Topics[1].ErrorMessage; len(text) > maxErrorText || !strings.HasPrefix(text, "éé") || !utf8.ValidString(text) {
			t.Errorf("version %d: a message of %d bytes", version, len(text))
		}
		resp.Topics[1].Topic = long
		if body, err := Encode([]byte("head"), resp); !errors.Is(err, ErrUnencodable) || string(body) != "head" {
			t.Errorf("version %d: %v, %d bytes", version, err, len(body))
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcdef", 5, "ab…"}, {"ééé", 5, "é…"}, {"\xff\xff\xff\xff\xff\xff", 5, "…"}, {"abc", 0, "…"},
	} {
		if got := Cut(c.in, c.n); got != c.want {
			t.Errorf("Cut(%q, %d) = %q", c.in, c.n, got)
		}
	}
}

// A client's own words are repeated up to a bound.
func TestErrorfIsBounded(t *testing.T) {
	if text := Errorf(InvalidRequest, "no %s", strings.Repeat("x", 1<<20)).Error(); len(text) > 2*maxErrorText {
		t.Errorf("%d bytes", len(text))
	}
}

func BenchmarkEncodeMetadata(b *testing.B) {
	resp := kmsg.NewPtrMetadataResponse()
	resp.Version = 13
	name := "topic"
	for range 1000 {
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = &name
		for range 10 {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Replicas, p.ISR = []int32{1}, []int32{1}
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	dst := make([]byte, 0, 1<<20)
	b.Run("Encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := Encode(dst, resp); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("kmsg", func(b *testing.B) {
		for b.Loop() {
			resp.AppendTo(dst)
		}
	})
}
