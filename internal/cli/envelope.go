package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The JSON envelope of a record is kcat's, byte for byte: one object a line,
// in this order of fields,
//
//	{"topic":str,"partition":int,"offset":int,"tstype":"create"|"logappend","ts":int,
//	 "broker":int,"headers":[name,value|null,…],"key":str|null,"payload":str|null}
//
// headers only when there are some. Strings hold the bytes of the record as
// they are, even when they are not UTF-8, so that nothing is lost on the way
// through `consume -J | produce -J`.

// appendEnvelope appends the envelope of r with a newline. broker is the node
// id that it was read from.
func appendEnvelope(b []byte, r *kgo.Record, broker int32) []byte {
	b = append(b, `{"topic":`...)
	b = appendJSONString(b, []byte(r.Topic))
	b = append(b, `,"partition":`...)
	b = strconv.AppendInt(b, int64(r.Partition), 10)
	b = append(b, `,"offset":`...)
	b = strconv.AppendInt(b, r.Offset, 10)
	switch r.Attrs.TimestampType() {
	case 0:
		b = append(b, `,"tstype":"create","ts":`...)
		b = strconv.AppendInt(b, r.Timestamp.UnixMilli(), 10)
	case 1:
		b = append(b, `,"tstype":"logappend","ts":`...)
		b = strconv.AppendInt(b, r.Timestamp.UnixMilli(), 10)
	}
	b = append(b, `,"broker":`...)
	b = strconv.AppendInt(b, int64(broker), 10)
	if len(r.Headers) > 0 {
		b = append(b, `,"headers":[`...)
		for i, h := range r.Headers {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONString(b, []byte(h.Key))
			b = append(b, ',')
			b = appendNullable(b, h.Value)
		}
		b = append(b, ']')
	}
	b = append(b, `,"key":`...)
	b = appendNullable(b, r.Key)
	b = append(b, `,"payload":`...)
	b = appendNullable(b, r.Value)
	return append(b, '}', '\n')
}

func appendNullable(b, data []byte) []byte {
	if data == nil {
		return append(b, "null"...)
	}
	return appendJSONString(b, data)
}

const hexDigits = "0123456789ABCDEF"

// appendJSONString quotes as the yajl library does, which kcat uses: only what
// JSON demands is escaped, bytes above 127 go as they are.
func appendJSONString(b, data []byte) []byte {
	b = append(b, '"')
	for _, c := range data {
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\f':
			b = append(b, `\f`...)
		case '\b':
			b = append(b, `\b`...)
		default:
			if c < ' ' {
				b = append(b, `\u00`...)
				b = append(b, hexDigits[c>>4], hexDigits[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}

// envelope is what produce takes of an envelope; the rest belongs to where the
// record came from.
type envelope struct {
	Headers []*string       `json:"headers"`
	Key     json.RawMessage `json:"key"`
	Payload json.RawMessage `json:"payload"`
}

// parseEnvelope reads a line into a record. A key or payload that is not a
// string (kcat -s avro prints objects) becomes its JSON text.
//
// JSON is UTF-8, but an envelope holds the bytes of the record. A line that is
// not UTF-8 is therefore read byte for byte: each byte becomes the character of
// that number for the parser, and a byte again after it.
func parseEnvelope(line []byte) (*kgo.Record, error) {
	back := func(s string) []byte { return []byte(s) }
	if !utf8.Valid(line) {
		line, back = latin1(line), fromLatin1
	}
	var e envelope
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, fmt.Errorf("not a JSON envelope: %w", err)
	}
	r := &kgo.Record{}
	var err error
	if r.Key, err = field(e.Key, back); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if r.Value, err = field(e.Payload, back); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	if len(e.Headers)%2 != 0 {
		return nil, fmt.Errorf("headers: %d strings are not pairs of name and value", len(e.Headers))
	}
	for i := 0; i < len(e.Headers); i += 2 {
		if e.Headers[i] == nil {
			return nil, errors.New("headers: a name is null")
		}
		h := kgo.RecordHeader{Key: string(back(*e.Headers[i]))}
		if v := e.Headers[i+1]; v != nil {
			h.Value = back(*v)
		}
		r.Headers = append(r.Headers, h)
	}
	return r, nil
}

// field is nil for null and for what is missing.
func field(raw json.RawMessage, back func(string) []byte) ([]byte, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if raw[0] != '"' {
		return back(string(raw)), nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	return back(s), nil
}

// latin1 makes a character of every byte.
func latin1(data []byte) []byte {
	out := make([]byte, 0, len(data)+len(data)/4)
	for _, c := range data {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}

// fromLatin1 makes a byte of every character that latin1 made; others came from
// an escape in the line and are kept as UTF-8.
func fromLatin1(s string) []byte {
	out := make([]byte, 0, len(s))
	for _, c := range s {
		if c < 256 {
			out = append(out, byte(c))
		} else {
			out = utf8.AppendRune(out, c)
		}
	}
	return out
}
