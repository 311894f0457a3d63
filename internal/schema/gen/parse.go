package main

import (
	"fmt"
	"strconv"
	"strings"
)

// versions is an inclusive range; last is -1 if it has no end.
type versions struct{ first, last int }

// kind is the kind of a message.
type kind int

const (
	structure kind = iota // part of another message
	record                // of the metadata log: it has an api key
	value                 // has a version, but no key of its own
	key                   // of a record of an internal topic: not flexible
)

// message is one record, key, value or struct inside one.
type message struct {
	kind   kind
	name   string // Kafka's name
	doc    []string
	key    int // api key of a record, kind of a key
	last   int // highest version; the first is always 0
	fields []*field
}

// field is one field of a message.
type field struct {
	name     string // Kafka's name
	doc      []string
	typ      string // without the leading []
	list     bool
	versions versions
	nullable bool
	tag      int    // -1 for a field without a tag
	fallback string // default, "" for the zero value
	sub      *message
}

// primitives maps the types of the schema to Go types.
var primitives = map[string]string{
	"bool": "bool", "int8": "int8", "int16": "int16", "uint16": "uint16", "int32": "int32",
	"int64": "int64", "float64": "float64", "string": "string", "bytes": "[]byte", "uuid": "schema.UUID",
}

// parse reads the schema:
//
//  1. a line is a comment of the schema (#), of the Go code (//), a message
//     (no indentation) or a field (two spaces per level);
//  2. open is the stack of messages whose fields may follow: a field at level n
//     belongs to open[n-1], and one whose type is not primitive opens level
//     n+1;
//  3. a struct that appears twice must have the same fields both times.
func parse(schema string) ([]*message, error) {
	var (
		out  []*message
		open []*message
		doc  []string
	)
	for number, line := range strings.Split(schema, "\n") {
		text := strings.TrimSpace(line)
		switch {
		case text == "" || strings.HasPrefix(text, "#"):
			continue
		case strings.HasPrefix(text, "//"):
			doc = append(doc, text)
			continue
		}
		level := (len(line) - len(strings.TrimLeft(line, " "))) / 2
		words := strings.Fields(text)
		if level > len(open) {
			return nil, fmt.Errorf("line %d: indented below nothing", number+1)
		}
		open = open[:level]
		if level == 0 {
			m, err := parseMessage(words)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", number+1, err)
			}
			m.doc, doc = doc, nil
			out, open = append(out, m), append(open, m)
			continue
		}
		f, err := parseField(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		f.doc, doc = doc, nil
		open[level-1].fields = append(open[level-1].fields, f)
		if f.sub != nil {
			f.sub.last = open[0].last
			open = append(open, f.sub)
		}
	}
	return out, nil
}

func parseMessage(words []string) (*message, error) {
	m := &message{}
	numbered := len(words) >= 3 && (words[0] == "record" || words[0] == "key")
	switch {
	case len(words) == 4 && words[0] == "record":
		m.kind = record
	case len(words) == 3 && words[0] == "key":
		m.kind = key
	case len(words) == 3 && words[0] == "value":
		m.kind = value
	default:
		return nil, fmt.Errorf("want record NAME KEY VERSIONS, key NAME KIND or value NAME VERSIONS, got %q", words)
	}
	m.name = words[1]
	var err error
	if numbered {
		if m.key, err = strconv.Atoi(words[2]); err != nil {
			return nil, err
		}
	}
	if m.kind == key {
		return m, nil
	}
	v, err := parseVersions(words[len(words)-1])
	m.last = v.last
	return m, err
}

func parseField(words []string) (*field, error) {
	if len(words) < 3 {
		return nil, fmt.Errorf("want FIELD TYPE VERSIONS, got %q", words)
	}
	f := &field{name: words[0], typ: strings.TrimPrefix(words[1], "[]"), tag: -1}
	f.list = f.typ != words[1]
	if primitives[f.typ] == "" {
		f.sub = &message{name: f.typ}
	}
	var err error
	if f.versions, err = parseVersions(words[2]); err != nil {
		return nil, err
	}
	for _, w := range words[3:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "nullable":
			f.nullable = true
		case "default":
			f.fallback = value
		case "tag":
			if f.tag, err = strconv.Atoi(value); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("unknown attribute %q", w)
		}
	}
	return f, nil
}

// parseVersions reads "2", "0-4" or "1+".
func parseVersions(s string) (v versions, err error) {
	if first, found := strings.CutSuffix(s, "+"); found {
		v.last = -1
		v.first, err = strconv.Atoi(first)
		return v, err
	}
	first, last, ranged := strings.Cut(s, "-")
	if v.first, err = strconv.Atoi(first); err != nil || !ranged {
		v.last = v.first
		return v, err
	}
	v.last, err = strconv.Atoi(last)
	return v, err
}
