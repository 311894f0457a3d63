package metadata

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
)

// Format formats a record for people: its type, then the fields that differ
// from the schema's defaults as name=value, with ids in Kafka's form.
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

// Text is like Format, but also for structs that are not a Message, such as
// those of control records.
func Text(m any) string {
	v := reflect.ValueOf(m).Elem()
	var b strings.Builder
	b.WriteString(v.Type().Name())
	formatFields(&b, v, reflect.Zero(v.Type()))
	return b.String()
}

func formatFields(b *strings.Builder, v, normal reflect.Value) {
	for i := range v.NumField() {
		// A list that is empty but not nil has a meaning in a change record.
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

// Tree converts a record, or a struct of a control record, for programs: its
// type, and its fields by name, with ids in Kafka's form and bytes in hex.
func Tree(m any) (name string, fields map[string]any) {
	v := reflect.ValueOf(m).Elem()
	return v.Type().Name(), tree(v).(map[string]any)
}

func tree(v reflect.Value) any {
	if id, ok := v.Interface().(UUID); ok {
		return FormatUUID(id)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return tree(v.Elem())
	case reflect.Struct:
		fields := make(map[string]any, v.NumField())
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "UnknownTags" || v.Field(i).Len() > 0 {
				fields[name] = tree(v.Field(i))
			}
		}
		return fields
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return hex.EncodeToString(v.Bytes())
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = tree(v.Index(i))
		}
		return list
	}
	return v.Interface()
}
