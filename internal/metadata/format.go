package metadata

import (
	"fmt"
	"reflect"
	"strings"
)

// Format writes a record for people: its type, then the fields that differ from
// the schema's defaults as name=value, ids as Kafka writes them.
func Format(m Message) string {
	if m == nil {
		return "no record"
	}
	v := reflect.ValueOf(m).Elem()
	var b strings.Builder
	b.WriteString(v.Type().Name())
	normal, err := newMessage(uint32(m.APIKey()))
	if err != nil {
		normal = m
	}
	formatFields(&b, v, reflect.ValueOf(normal).Elem())
	return b.String()
}

func formatFields(b *strings.Builder, v, normal reflect.Value) {
	for i := range v.NumField() {
		// A list that is empty but not nil says something in a change record.
		if f := v.Field(i); !reflect.DeepEqual(f.Interface(), normal.Field(i).Interface()) {
			fmt.Fprintf(b, " %s=", v.Type().Field(i).Name)
			formatValue(b, f)
		}
	}
}

func formatValue(b *strings.Builder, v reflect.Value) {
	if id, ok := v.Interface().(UUID); ok {
		b.WriteString(FormatUUID(id))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		formatValue(b, v.Elem())
	case reflect.Struct:
		b.WriteString("{")
		formatFields(b, v, reflect.Zero(v.Type()))
		b.WriteString(" }")
	case reflect.String:
		fmt.Fprintf(b, "%q", v.String())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			fmt.Fprintf(b, "%x", v.Bytes())
			return
		}
		b.WriteString("[")
		for i := range v.Len() {
			if i > 0 {
				b.WriteString(" ")
			}
			formatValue(b, v.Index(i))
		}
		b.WriteString("]")
	default:
		fmt.Fprint(b, v.Interface())
	}
}
