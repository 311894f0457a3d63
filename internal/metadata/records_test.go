package metadata

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"ottla/internal/schema/schematest"
)

// every returns one empty record of each api key.
func every(t testing.TB) []Message {
	var all []Message
	for key := range uint32(64) {
		if m, err := newMessage(key); err == nil {
			all = append(all, m)
		}
	}
	if len(all) != 26 {
		t.Fatalf("%d record types, want 26", len(all))
	}
	return all
}

func TestValueRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		for _, m := range every(t) {
			schematest.Fill(r, reflect.ValueOf(m).Elem())
			value := AppendValue(nil, m)
			back, err := ParseValue(value)
			if err != nil {
				t.Fatalf("%s: %v", Format(m), err)
			}
			// Normal form: the version of BrokerRegistrationChangeRecord depends on its content.
			if again := AppendValue(nil, back); !bytes.Equal(value, again) {
				t.Fatalf("%s\nwritten %x\nagain   %x", Format(m), value, again)
			}
			if got, want := Format(back), Format(m); got != want {
				t.Fatalf("got  %s\nwant %s", got, want)
			}
		}
	}
}
