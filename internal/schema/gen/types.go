package main

import (
	"fmt"
	"sort"
	"strings"
	"unicode"
)

// initialisms are the words that Go writes in capitals.
var initialisms = map[string]string{"Id": "ID", "Isr": "ISR", "Elr": "ELR"}

// goName converts a name of Kafka's schema to a Go name: TopicId to TopicID.
func goName(name string) string {
	var (
		b    strings.Builder
		word []rune
	)
	flush := func() {
		w := string(word)
		if upper, ok := initialisms[w]; ok {
			w = upper
		}
		b.WriteString(w)
		word = word[:0]
	}
	for _, r := range name {
		if unicode.IsUpper(r) {
			flush()
		}
		word = append(word, r)
	}
	flush()
	return b.String()
}

func goType(f *field) string {
	t := f.typ
	if f.sub == nil {
		t = primitives[f.typ]
	}
	switch {
	case f.list:
		return "[]" + t
	case f.nullable:
		return "*" + t
	}
	return t
}

// empty is the default of a nullable field that is present but empty.
const empty = "empty"

// literal returns the default of a field as Go code.
func literal(f *field) string {
	switch {
	case f.fallback != empty:
		return f.fallback
	case f.list:
		return goType(f) + "{}"
	}
	return "&" + f.typ + "{}"
}

// ordered returns the tagged fields, by ascending tag.
func ordered(m *message) []*field {
	var out []*field
	for _, f := range m.fields {
		if f.tag >= 0 {
			out = append(out, f)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].tag < out[j].tag })
	return out
}

// differs returns the condition under which a tagged field is written.
func differs(f *field) string {
	value := "m." + goName(f.name)
	switch {
	case f.list && !f.nullable:
		return "len(" + value + ") > 0"
	case f.list && f.fallback == empty:
		return fmt.Sprintf("(%s == nil || len(%s) > 0)", value, value)
	case f.fallback == empty:
		return fmt.Sprintf("!schema.IsDefault(%s, version)", value)
	case f.nullable:
		return value + " != nil"
	case f.fallback != "":
		return value + " != " + f.fallback
	}
	return value + " != 0"
}

// encoding returns the expression that appends a field to dst.
func encoding(f *field, dst string) string {
	value := "m." + goName(f.name)
	switch {
	case f.list && f.sub != nil:
		return fmt.Sprintf("schema.AppendStructs(%s, %s, version)", dst, value)
	case f.list && f.nullable:
		return fmt.Sprintf("schema.Nullable(%s, %s, %s)", dst, value, listEncoder(f))
	case f.list:
		return fmt.Sprintf("%s(%s, %s)", listEncoder(f), dst, value)
	case f.sub != nil && f.nullable:
		return fmt.Sprintf("schema.AppendNullable(%s, %s, version)", dst, value)
	case f.sub != nil:
		return fmt.Sprintf("%s.AppendTo(%s, version)", value, dst)
	}
	name := map[string]string{
		"bool": "Bool", "int8": "Int8", "int16": "Int16", "uint16": "Uint16", "int32": "Int32", "int64": "Int64",
		"float64": "Float64", "string": "CompactString", "bytes": "CompactBytes", "uuid": "Uuid",
	}[f.typ]
	if f.nullable {
		name = strings.Replace(name, "Compact", "CompactNullable", 1)
	}
	return fmt.Sprintf("kbin.Append%s(%s, %s)", name, dst, value)
}

func listEncoder(f *field) string {
	return map[string]string{"int32": "schema.AppendInt32s", "uuid": "schema.AppendUUIDs", "string": "schema.AppendStrings"}[f.typ]
}

// reading maps the types of the schema to the methods of schema.Reader.
var reading = map[string]string{
	"bool": "Bool", "int8": "Int8", "int16": "Int16", "uint16": "Uint16", "int32": "Int32", "int64": "Int64",
	"float64": "Float64", "string": "CompactString", "bytes": "Bytes", "uuid": "UUID",
}

// decoding returns the statement that reads a field from r.
func decoding(f *field) string {
	value := "m." + goName(f.name)
	one := "(*schema.Reader)." + reading[f.typ]
	if f.sub != nil {
		one = fmt.Sprintf("func(r *schema.Reader) (v %s) { v.readFrom(r, version); return v }", f.sub.name)
	}
	switch {
	case f.list && f.nullable:
		return fmt.Sprintf("%s = schema.NullableList(r, %s)", value, one)
	case f.list:
		return fmt.Sprintf("%s = schema.List(r, %s)", value, one)
	case f.sub != nil && f.nullable:
		return fmt.Sprintf("%s = nil\nif r.Present() {\n%s = &%s{}\n%s.readFrom(r, version)\n}", value, value, f.sub.name, value)
	case f.sub != nil:
		return value + ".readFrom(r, version)"
	case f.nullable:
		return value + " = r.NullableString()"
	}
	return fmt.Sprintf("%s = r.%s()", value, reading[f.typ])
}
