package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

// everyVersion runs test for each version of each request.
func everyVersion(t *testing.T, test func(t *testing.T, key, version int16)) {
	t.Helper()
	for key := range int16(len(shapes)) {
		s := shapeOf(key)
		if s == nil {
			continue
		}
		for version := s.min; version <= s.max; version++ {
			t.Run(fmt.Sprintf("%s/%d", s.name, version), func(t *testing.T) { test(t, key, version) })
		}
	}
}

// rounds is how many random messages a table test makes of each version.
const rounds = 30

// A body is walked to its end exactly, whatever the message; so a shape that
// misses or adds a field cannot pass, and every cut body is refused.
func TestShapeCoversBody(t *testing.T) {
	everyVersion(t, func(t *testing.T, key, version int16) {
		s := shapeOf(key)
		for seed := range uint64(rounds) {
			body := newRandomizer(seed).request(key, version).AppendTo(nil)
			checked, err := s.check(version, body)
			if err != nil {
				t.Fatalf("seed %d: %v: %x", seed, err, body)
			}
			if !bytes.Equal(checked, body) {
				t.Fatalf("seed %d: the body was changed: %x", seed, body)
			}
			for n := range body {
				if _, err := s.check(version, body[:n:n]); !errors.Is(err, ErrMalformed) {
					t.Fatalf("seed %d: %d of %d bytes passed: %x", seed, n, len(body), body)
				}
			}
		}
	})
}

func TestDecodeEqualsKmsg(t *testing.T) {
	everyVersion(t, func(t *testing.T, key, version int16) {
		for seed := range uint64(rounds) {
			body := newRandomizer(seed).request(key, version).AppendTo(nil)
			want := NewRequest(key, version)
			if err := want.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			// Kafka ignores what stands behind the last field.
			got, err := Decode(key, version, append(body, 1, 2, 3))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: got %+v, want %+v", seed, got, want)
			}
		}
	})
}

// Unknown tagged fields are cut out: what is left is, byte by byte, the message
// that never had them.
func TestUnknownTagsAreCutOut(t *testing.T) {
	cut := 0
	everyVersion(t, func(t *testing.T, key, version int16) {
		s := shapeOf(key)
		if version < s.flexible {
			return
		}
		for seed := range uint64(rounds) {
			r := newRandomizer(seed)
			r.tags = true
			message := r.request(key, version)
			tagged := message.AppendTo(nil)
			withoutTags(reflect.ValueOf(message))
			want := message.AppendTo(nil)
			got, err := s.check(version, tagged)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("seed %d: got %x, want %x, from %x", seed, got, want, tagged)
			}
			if len(tagged) > len(want) {
				cut++
			}
		}
	})
	if cut == 0 {
		t.Fatal("no message had unknown tagged fields")
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name         string
		key, version int16
		body         []byte
	}{
		{"unknown key", 93, 0, nil},
		{"negative key", -1, 0, nil},
		{"removed key", 7, 0, nil},
		{"version too low", 19, 1, nil},
		{"version too high", 19, 8, nil},
		{"empty", 19, 7, nil},
		{"array beyond the body", 19, 7, []byte{0xff, 0xff, 0xff, 0xff, 0x07}},
		{"array of 2^31", 19, 4, []byte{0x7f, 0xff, 0xff, 0xff, 0}},
		{"null where none is allowed", 19, 7, []byte{0, 0, 0, 0, 1, 0, 0}},
		{"negative length", 19, 4, []byte{0x80, 0, 0, 0, 0, 0, 0, 1, 0}},
		{"string beyond the body", 18, 3, []byte{9, 'a', 1, 0}},
		{"string longer than 32,767", 18, 3, append(append([]byte{0x81, 0x80, 0x02}, make([]byte, 32768)...), 1, 0)},
		{"varint of six bytes", 18, 3, []byte{0x82, 0x80, 0x80, 0x80, 0x80, 0x00, 'a', 1, 0}},
		// kmsg would loop four billion times over these.
		{"tagged fields that are not there", 18, 3, []byte{2, 'a', 2, 'b', 0xff, 0xff, 0xff, 0xff, 0x07}},
		{"tagged field beyond the body", 18, 3, []byte{2, 'a', 2, 'b', 1, 100, 5, 1}},
		{"tagged fields inside a known one", 1, 15, append(make([]byte, 0), fetchWithTag(1, []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x07})...)},
		{"known tagged field cut short", 1, 15, fetchWithTag(1, []byte{0, 0, 0, 1})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if m, err := Decode(test.key, test.version, test.body); !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %+v, %v", m, err)
			}
		})
	}
}

// fetchWithTag is a Fetch of version 15 without topics and with one tagged
// field.
func fetchWithTag(number byte, content []byte) []byte {
	body := append(make([]byte, 4+4+4+1+4+4), 1, 1, 1) // no topics, none forgotten, no rack
	return append(append(body, 1, number, byte(len(content))), content...)
}

func TestNewRequest(t *testing.T) {
	if NewRequest(4, 0) != nil || NewRequest(93, 0) != nil || NewRequest(-1, 0) != nil {
		t.Fatal("an API that Kafka does not have")
	}
	r := NewRequest(3, 12)
	if r.Key() != 3 || r.GetVersion() != 12 {
		t.Fatalf("%T version %d", r, r.GetVersion())
	}
	if APIName(60) != "DescribeCluster" || APIName(5) != "" {
		t.Fatal("names")
	}
}
