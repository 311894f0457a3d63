package metadata

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"ottla/internal/schema"
	"ottla/internal/schema/schematest"
)

// FuzzParseValue checks that no bytes make the parser panic, and that an
// accepted record is written in a form that is read back as the same record.
func FuzzParseValue(f *testing.F) {
	content, err := os.ReadFile("testdata/kafka_records.tsv")
	if err != nil {
		f.Fatal(err)
	}
	for _, line := range strings.Split(string(content), "\n") {
		if column := strings.Split(line, "\t"); column[0] == "record" {
			raw, err := hex.DecodeString(column[3])
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := ParseValue(raw)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%x: %v", raw, err)
			}
			return
		}
		// In the version of the input: an unknown tag of one version is a field
		// of another.
		header := schema.NewReader(raw)
		header.Uvarint()
		header.Uvarint()
		version := int16(header.Uvarint())
		body := m.AppendTo(nil, version)
		back := reflect.New(reflect.TypeOf(m).Elem()).Interface().(Message)
		if err := back.Parse(body, version); err != nil {
			t.Fatalf("%s version %d: %v", Format(m), version, err)
		}
		if again := back.AppendTo(nil, version); !bytes.Equal(body, again) {
			t.Fatalf("%s\n%x\n%x", Format(m), body, again)
		}
	})
}

// TestParseCuts cuts and damages valid values at every position: each must give
// an error and never a panic.
func TestParseCuts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, m := range every(t) {
		schematest.Fill(r, reflect.ValueOf(m).Elem())
		value := AppendValue(nil, m)
		for n := range value {
			if _, err := ParseValue(value[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%T cut at %d of %d: %v", m, n, len(value), err)
			}
		}
		if _, err := ParseValue(append(value, 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%T with an extra byte: %v", m, err)
		}
	}
	for _, raw := range [][]byte{{}, {2, 2, 0, 0}, {1, 6, 0, 0}, {1, 2, 1, 0}, {1, 200, 1, 0}, {1, 2, 255, 255, 255, 255, 15}} {
		if m, err := ParseValue(raw); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v, %v", raw, m, err)
		}
	}
}

// TestParseAllocates checks that a large length in a short input allocates
// nothing.
func TestParseAllocates(t *testing.T) {
	// A RegisterBrokerRecord version 0 whose list of endpoints claims as many
	// elements as there are bytes, the first of which is no endpoint.
	raw := append([]byte{1, 0, 0}, make([]byte, 28)...)
	raw = append(raw, 0xff, 0xff, 0x3f) // 1,048,574 endpoints
	raw = append(raw, bytes.Repeat([]byte{0xff}, 1<<20)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := ParseValue(raw); !errors.Is(err, ErrMalformed) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 16<<10 {
		t.Errorf("%d bytes allocated for a record of %d", got, len(raw))
	}
}
