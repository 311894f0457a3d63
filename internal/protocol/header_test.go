package protocol

import (
	"bytes"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Frames as kmsg's own client code builds them split into header and body.
func TestParseRequestHeader(t *testing.T) {
	everyVersion(t, func(t *testing.T, key, version int16) {
		for _, id := range []string{"", "rdkafka", "a client"} {
			request := newRandomizer(1).request(key, version)
			frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(id)).AppendRequest(nil, request, -7)[4:]
			h, body, err := ParseRequestHeader(frame)
			want := RequestHeader{Key: key, Version: version, CorrelationID: -7, ClientID: id}
			if err != nil || h != want || !bytes.Equal(body, request.AppendTo(nil)) {
				t.Fatalf("got %+v, body %x, %v", h, body, err)
			}
			peeked, peekedVersion, ok := PeekRequestHeader(frame)
			if !ok || peeked != key || peekedVersion != version {
				t.Fatalf("peeked %d %d %v", peeked, peekedVersion, ok)
			}
		}
	})
}

func TestParseRequestHeaderTable(t *testing.T) {
	tests := []struct {
		name  string
		frame []byte
		want  RequestHeader
		body  string
		bad   bool
	}{
		{name: "null client id", frame: []byte("\x00\x03\x00\x00\x00\x00\x00\x01\xff\xffbody"), want: RequestHeader{Key: 3, CorrelationID: 1, ClientIDNull: true}, body: "body"},
		{name: "tagged fields are skipped", frame: []byte("\x00\x12\x00\x03\x00\x00\x00\x02\x00\x01c\x02\x07\x01x\x08\x00body"), want: RequestHeader{Key: 18, Version: 3, CorrelationID: 2, ClientID: "c"}, body: "body"},
		{name: "unknown version of ApiVersions", frame: []byte("\x00\x12\x00\x63\x00\x00\x00\x02\x00\x01c\x00body"), want: RequestHeader{Key: 18, Version: 99, CorrelationID: 2, ClientID: "c"}, body: "body"},
		{name: "no body", frame: []byte("\x00\x12\x00\x00\x00\x00\x00\x02\x00\x00"), want: RequestHeader{Key: 18, CorrelationID: 2}},
		{name: "empty", bad: true},
		{name: "half a correlation id", frame: []byte("\x00\x12\x00\x00\x00\x00"), bad: true},
		{name: "no client id", frame: []byte("\x00\x12\x00\x00\x00\x00\x00\x02"), bad: true},
		{name: "client id beyond the frame", frame: []byte("\x00\x12\x00\x00\x00\x00\x00\x02\x00\x05abc"), bad: true},
		{name: "negative client id", frame: []byte("\x00\x12\x00\x00\x00\x00\x00\x02\xff\xfe"), bad: true},
		{name: "tagged fields missing", frame: []byte("\x00\x12\x00\x03\x00\x00\x00\x02\x00\x01c"), bad: true},
		{name: "tagged fields announced", frame: []byte("\x00\x12\x00\x03\x00\x00\x00\x02\x00\x01c\xff\xff\xff\xff\x07"), bad: true},
		{name: "removed key", frame: []byte("\x00\x04\x00\x00\x00\x00\x00\x02\x00\x00"), bad: true},
		{name: "unknown key", frame: []byte("\x01\x04\x00\x00\x00\x00\x00\x02\x00\x00"), bad: true},
		{name: "negative key", frame: []byte("\xff\xff\x00\x00\x00\x00\x00\x02\x00\x00"), bad: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, body, err := ParseRequestHeader(test.frame)
			if test.bad {
				if !errors.Is(err, ErrMalformed) {
					t.Fatalf("got %+v, %v", h, err)
				}
				return
			}
			if err != nil || h != test.want || string(body) != test.body {
				t.Fatalf("got %+v, body %q, %v", h, body, err)
			}
		})
	}
}

func TestHeaderIsReused(t *testing.T) {
	frame := []byte("\x00\x03\x00\x00\x00\x00\x00\x01\x00\x07rdkafkabody")
	var h RequestHeader
	if n := testing.AllocsPerRun(100, func() {
		if _, err := h.Parse(frame); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Fatalf("%v allocations", n)
	}
	frame[10] = 'R'
	if h.ClientID != "rdkafka" {
		t.Fatal("the client id aliases the frame")
	}
	if _, err := h.Parse(frame); err != nil || h.ClientID != "Rdkafka" {
		t.Fatalf("%+v, %v", h, err)
	}
}

func TestAppendResponseHeader(t *testing.T) {
	everyVersion(t, func(t *testing.T, key, version int16) {
		want := []byte{9, 0, 0, 0, 5}
		if NewRequest(key, version).IsFlexible() && key != 18 {
			want = append(want, 0)
		}
		if got := AppendResponseHeader([]byte{9}, key, version, 5); !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

func FuzzParseRequestHeader(f *testing.F) {
	f.Add([]byte("\x00\x12\x00\x03\x00\x00\x00\x02\x00\x01c\x02\x07\x01x\x08\x00body"))
	f.Add([]byte("\x00\x03\x00\x00\x00\x00\x00\x01\xff\xffbody"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, body, err := ParseRequestHeader(frame)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if APIName(h.Key) == "" || !bytes.HasSuffix(frame, body) || len(frame)-len(body) < 10+len(h.ClientID) {
			t.Fatalf("%+v, body %x", h, body)
		}
	})
}
