package metadata

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
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

// fill sets every field of v to something random; tagged and nullable fields
// are sometimes left at their default.
func fill(r *rand.Rand, v reflect.Value) {
	if _, ok := v.Interface().(UUID); ok {
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(r.IntN(256)))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "UnknownTags" {
				if r.IntN(3) == 0 {
					v.Field(i).Set(reflect.ValueOf([]Tag{{Number: 100 + uint32(r.IntN(9)), Value: []byte{1, 2, 3}}, {Number: 5000, Value: nil}}))
				}
				continue
			}
			fill(r, v.Field(i))
		}
	case reflect.Pointer:
		v.SetZero()
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Slice:
		v.SetZero()
		if n := r.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(r, v.Index(i))
			}
		}
	case reflect.String:
		v.SetString([]string{"", "a", "köln", "a-longer-name.with_all"}[r.IntN(4)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat(r.NormFloat64())
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(uint64(r.IntN(256)))
	default:
		v.SetInt(int64(r.IntN(120) - 60))
	}
}

func TestValueRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		for _, m := range every(t) {
			fill(r, reflect.ValueOf(m).Elem())
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
