package protocol

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrUnencodable is returned for a response with a string that its field cannot
// hold.
var ErrUnencodable = errors.New("a response cannot be encoded")

// Encode appends the body of a response, in the version that is set.
//
// A string field holds at most 32,767 bytes. kmsg writes the low 16 bits of a
// greater length, and the client then reads something else. Kafka's own clients
// refuse longer strings in compact form too. So:
//
//  1. Encode.
//  2. A body of at most 32,767 bytes holds no longer string. Of a larger one the
//     strings are checked. Types without strings are passed over, such as the
//     partitions of Metadata.
//  3. An ErrorMessage that is too long is cut, and the response is encoded again.
//     Any other string is an error; nothing is appended then.
func Encode(dst []byte, response kmsg.Response) ([]byte, error) {
	body := response.AppendTo(dst)
	if len(body)-len(dst) <= maxString {
		return body, nil
	}
	cut, err := checkStrings(reflect.ValueOf(response).Elem())
	switch {
	case err != nil:
		return dst, fmt.Errorf("%w: %s: %w", ErrUnencodable, APIName(response.Key()), err)
	case cut:
		return response.AppendTo(dst), nil
	}
	return body, nil
}

// checkStrings checks a structure and everything below it; cut tells that an
// error message was shortened.
func checkStrings(v reflect.Value) (cut bool, err error) {
	for _, i := range fieldsWithStrings(v.Type()) {
		one, err := checkField(v.Field(i), v.Type().Field(i).Name)
		if err != nil {
			return false, err
		}
		cut = cut || one
	}
	return cut, nil
}

func checkField(field reflect.Value, name string) (cut bool, err error) {
	switch field.Kind() {
	case reflect.String:
		if field.Len() <= maxString {
			return false, nil
		}
		if name != "ErrorMessage" {
			return false, fmt.Errorf("%s has %d bytes, a string holds %d", name, field.Len(), maxString)
		}
		field.SetString(Cut(field.String(), maxErrorText))
		return true, nil
	case reflect.Pointer:
		if field.IsNil() {
			return false, nil
		}
		if text, ok := field.Interface().(*string); ok && len(*text) > maxString {
			text := *text // others may read the same string
			field.Set(reflect.ValueOf(&text))
		}
		return checkField(field.Elem(), name)
	case reflect.Struct:
		return checkStrings(field)
	case reflect.Slice:
		for i := range field.Len() {
			one, err := checkField(field.Index(i), name)
			if err != nil {
				return false, err
			}
			cut = cut || one
		}
	}
	return cut, nil
}

// stringFields caches fieldsWithStrings: reflect.Type → []int.
var stringFields sync.Map

// fieldsWithStrings are the fields of a structure that hold strings somewhere.
func fieldsWithStrings(t reflect.Type) []int {
	if known, ok := stringFields.Load(t); ok {
		fields, _ := known.([]int)
		return fields
	}
	var fields []int
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && holdsStrings(f.Type) {
			fields = append(fields, i)
		}
	}
	stringFields.Store(t, fields)
	return fields
}

func holdsStrings(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String:
		return true
	case reflect.Pointer, reflect.Slice:
		return holdsStrings(t.Elem())
	case reflect.Struct:
		return t != reflect.TypeFor[kmsg.Tags]() && len(fieldsWithStrings(t)) > 0
	}
	return false
}

// maxErrorText is how many bytes of a client's own words an error message
// repeats.
const maxErrorText = 2048

// Cut shortens s to at most n bytes of valid UTF-8, with "…" at the end.
func Cut(s string, n int) string {
	const end = "…"
	if len(s) <= n {
		return s
	}
	s = s[:max(0, n-len(end))]
	for len(s) > 0 {
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return strings.ToValidUTF8(s, "�") + end
}
