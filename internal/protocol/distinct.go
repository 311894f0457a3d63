package protocol

import (
	"encoding/binary"
	"math"
	"reflect"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Distinct removes from a decoded request what it names more than once, so that
// each thing is looked up and answered once. The first occurrence keeps its
// place.
//
//  1. Of equal strings, numbers and ids of an array one stays.
//  2. Of structures that are equal but for their arrays one stays, and gets the
//     elements of the others' arrays: a topic named twice, with partitions 0 and
//     1 and with 1 and 2, has partitions 0, 1 and 2. A null array often means
//     "all", so structures are equal only if they have the same null arrays.
//  3. Then the same is done inside of each.
//
// The cost is linear in the size of the request. Arrays that ascend, as clients
// mostly send them, need no table.
//
// Rejected: to refuse repetition. Kafka answers it, and some clients repeat a
// topic.
func Distinct(request kmsg.Request) { distinctFields(reflect.ValueOf(request).Elem()) }

// distinctFields goes through the arrays of a structure.
func distinctFields(structure reflect.Value) {
	for i := range structure.NumField() {
		field := structure.Field(i)
		switch list := field.Addr().Interface().(type) {
		case *[]int32:
			*list = distinct(*list)
			continue
		case *[]string:
			*list = distinct(*list)
			continue
		}
		if isArray(field) {
			distinctElements(field)
		}
	}
}

// distinct removes what repeats in list, in place.
func distinct[T int32 | string](list []T) []T {
	ascends := true
	for i := 1; i < len(list) && ascends; i++ {
		ascends = list[i-1] < list[i]
	}
	if ascends {
		return list
	}
	seen := make(map[T]struct{}, len(list))
	return slices.DeleteFunc(list, func(v T) bool {
		if _, twice := seen[v]; twice {
			return true
		}
		seen[v] = struct{}{}
		return false
	})
}

// distinctElements is steps 1 to 3 for an array of any type.
func distinctElements(array reflect.Value) {
	if n := array.Len(); n > 1 {
		first := make(map[string]int, n)
		kept := 0
		var key []byte
		for i := range n {
			key = appendIdentity(key[:0], array.Index(i))
			if at, twice := first[string(key)]; twice {
				mergeArrays(array.Index(at), array.Index(i))
				continue
			}
			first[string(key)] = kept
			if kept != i {
				array.Index(kept).Set(array.Index(i))
			}
			kept++
		}
		array.SetLen(kept)
	}
	for i := range array.Len() {
		if array.Type().Elem().Kind() == reflect.Struct {
			distinctFields(array.Index(i))
		}
	}
}

// isArray tells an array of the schema from bytes.
func isArray(v reflect.Value) bool {
	return v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8
}

// appendIdentity appends all of a structure but the elements of its arrays.
func appendIdentity(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				b = appendIdentity(b, v.Field(i))
			}
		}
	case reflect.Pointer, reflect.Slice:
		if v.IsNil() {
			return append(b, 0)
		}
		b = append(b, 1)
		if v.Kind() == reflect.Pointer {
			return appendIdentity(b, v.Elem())
		}
		if !isArray(v) {
			b = binary.AppendUvarint(b, uint64(v.Len()))
			b = append(b, v.Bytes()...)
		}
	case reflect.String:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		b = append(b, v.String()...)
	case reflect.Array: // a UUID
		for i := range v.Len() {
			b = append(b, byte(v.Index(i).Uint()))
		}
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		b = append(b, 0)
	case reflect.Float64:
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v.Float()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		b = binary.AppendUvarint(b, v.Uint())
	default:
		b = binary.AppendVarint(b, v.Int())
	}
	return b
}

// mergeArrays appends the elements of the arrays of one structure to those of
// another.
func mergeArrays(to, from reflect.Value) {
	if to.Kind() != reflect.Struct {
		return
	}
	for i := range to.NumField() {
		if field := to.Field(i); isArray(field) {
			field.Set(reflect.AppendSlice(field, from.Field(i)))
		}
	}
}
