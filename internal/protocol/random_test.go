package protocol

import (
	"math/rand/v2"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// randomizer fills kmsg messages with random values.
type randomizer struct {
	*rand.Rand
	// tags gives structures unknown tagged fields.
	tags bool
}

func newRandomizer(seed uint64) *randomizer {
	return &randomizer{Rand: rand.New(rand.NewPCG(seed, 0))}
}

// request returns a random request of an API and version.
func (r *randomizer) request(key, version int16) kmsg.Request {
	request := NewRequest(key, version)
	r.fill(reflect.ValueOf(request).Elem())
	request.SetVersion(version)
	return request
}

func (r *randomizer) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64() >> r.IntN(63))
	case reflect.Float64:
		v.SetFloat(r.NormFloat64())
	case reflect.String:
		v.SetString(r.text())
	case reflect.Pointer:
		if r.IntN(3) == 0 {
			v.SetZero()
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		r.fill(v.Elem())
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(r.Uint64() & 0xff)
		}
	case reflect.Slice:
		r.slice(v)
	case reflect.Struct:
		r.structure(v)
	}
}

func (r *randomizer) slice(v reflect.Value) {
	switch {
	case v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes([]byte(r.text()))
	case r.IntN(8) == 0:
		v.SetZero()
	default:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			r.fill(v.Index(i))
		}
	}
}

func (r *randomizer) structure(v reflect.Value) {
	for i := range v.NumField() {
		field := v.Field(i)
		tags, ok := field.Addr().Interface().(*kmsg.Tags)
		if !ok {
			r.fill(field)
			continue
		}
		for r.tags && r.IntN(3) == 0 {
			tags.Set(100+r.Uint32N(1000), []byte(r.text()))
		}
	}
}

// text is mostly short, and now and then needs two bytes of compact length.
func (r *randomizer) text() string {
	n := r.IntN(6)
	if r.IntN(20) == 0 {
		n = r.IntN(300)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(r.IntN(26))
	}
	return string(b)
}

// withoutTags removes the unknown tagged fields of a message.
func withoutTags(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			withoutTags(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			withoutTags(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			withoutTags(v.Field(i))
		}
	}
}
