// Package schematest compares the types that gen generates with Kafka's: it
// fills them with random values and prints them like Kafka.
package schematest

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"ottla/internal/schema"
)

// Fill sets every field of v to a random value. Tagged and nullable fields are
// sometimes left at their default.
func Fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "UnknownTags" {
				Fill(r, v.Field(i))
			} else if r.IntN(3) == 0 {
				v.Field(i).Set(reflect.ValueOf([]schema.Tag{{Number: 100 + uint32(r.IntN(9)), Value: []byte{1, 2, 3}}, {Number: 5000, Value: nil}}))
			}
		}
	case reflect.Pointer:
		v.SetZero()
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			Fill(r, v.Elem())
		}
	case reflect.Slice:
		v.SetZero()
		if n := r.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				Fill(r, v.Index(i))
			}
		}
	case reflect.Array: // a UUID
		for i := range v.Len() {
			Fill(r, v.Index(i))
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

// Java describes where Kafka's classes differ from ours in names or null
// values.
type Java struct {
	// Types maps our type names to those of Kafka's classes.
	Types map[string]string
	// Null tells which nil lists are null in the schema, not empty.
	Null func(record, field string) bool
}

// String formats a value like the toString of Kafka's class.
func (j Java) String(v reflect.Value) string {
	if id, ok := v.Interface().(schema.UUID); ok {
		return base64.RawURLEncoding.EncodeToString(id[:])
	}
	switch v.Kind() {
	case reflect.Struct:
		return j.fields(v)
	case reflect.Pointer:
		if v.IsNil() {
			return "null"
		}
		return j.String(v.Elem())
	case reflect.String:
		return "'" + v.String() + "'"
	case reflect.Float64:
		s := strconv.FormatFloat(v.Float(), 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	case reflect.Uint8: // an element of bytes, which Java prints signed
		return strconv.Itoa(int(int8(v.Uint())))
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = j.String(v.Index(i))
			if v.Index(i).Kind() == reflect.String { // quoted, but unquoted in a list
				items[i] = v.Index(i).String()
			}
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

func (j Java) fields(v reflect.Value) string {
	name := v.Type().Name()
	var fields []string
	for i := range v.NumField() {
		field := v.Type().Field(i).Name
		if field == "UnknownTags" {
			continue // not in toString; checked by the bytes written again
		}
		value := j.String(v.Field(i))
		if v.Field(i).Kind() == reflect.Slice && v.Field(i).IsNil() && j.Null(name, field) {
			value = "null"
		}
		field = strings.NewReplacer("ID", "Id", "ISR", "Isr", "ELR", "Elr").Replace(field)
		fields = append(fields, string(unicode.ToLower(rune(field[0])))+field[1:]+"="+value)
	}
	if kafka, ok := j.Types[name]; ok {
		name = kafka
	}
	return name + "(" + strings.Join(fields, ", ") + ")"
}
