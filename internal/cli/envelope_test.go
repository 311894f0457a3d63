package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestEnvelope holds lines as kcat prints them.
func TestEnvelope(t *testing.T) {
	nothing := &kgo.Record{Topic: "t", Timestamp: time.UnixMilli(0)}
	full := testRecord()
	escapes := &kgo.Record{Topic: "t", Offset: 1 << 40, Timestamp: time.UnixMilli(5), Key: []byte{}, Value: []byte("\"\\/\n\r\t\f\b\x00\x1b\x7fäö\xff</&")}
	cases := []struct {
		r    *kgo.Record
		want string
	}{
		{nothing, `{"topic":"t","partition":0,"offset":0,"tstype":"create","ts":0,"broker":1,"key":null,"payload":null}`},
		{full, `{"topic":"orders","partition":3,"offset":42,"tstype":"create","ts":1700000000123,"broker":1,"headers":["a","1","b",null,"c",""],"key":"k1","payload":"hello"}`},
		{escapes, `{"topic":"t","partition":0,"offset":1099511627776,"tstype":"create","ts":5,"broker":1,"key":"","payload":"\"\\/\n\r\t\f\b\u0000\u001B` + "\x7fäö\xff" + `</&"}`},
	}
	for _, c := range cases {
		got := string(appendEnvelope(nil, c.r, 1))
		if got != c.want+"\n" {
			t.Errorf("printed\n%s\nwant\n%s", got, c.want)
		}
		if utf8.ValidString(got) && !json.Valid([]byte(got)) {
			t.Errorf("not JSON: %s", got)
		}
	}
}

func TestParseEnvelope(t *testing.T) {
	cases := []struct {
		in   string
		want kgo.Record
	}{
		{`{}`, kgo.Record{}},
		{`{"key":null,"payload":null,"topic":"x","unknown":[1]}`, kgo.Record{}},
		{`{"key":"","payload":""}`, kgo.Record{Key: []byte{}, Value: []byte{}}},
		{`{"payload":"\u00e9\ud83d\ude00 ä"}`, kgo.Record{Value: []byte("é😀 ä")}},
		{`{"payload":{"a": 1}}`, kgo.Record{Value: []byte(`{"a": 1}`)}},
		{`{"key":7,"payload":true}`, kgo.Record{Key: []byte("7"), Value: []byte("true")}},
		{`{"headers":["a","1","b",null]}`, kgo.Record{Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}}}},
		{"{\"payload\":\"\xff\\u0000ä\"}", kgo.Record{Value: []byte("\xff\x00ä")}},
		{"{\"key\":\"\xff\",\"payload\":\"\\u20ac\"}", kgo.Record{Key: []byte("\xff"), Value: []byte("€")}},
	}
	for _, c := range cases {
		got, err := parseEnvelope([]byte(c.in))
		if err != nil || !sameRecord(got, &c.want) {
			t.Errorf("%s = %+v, %v; want %+v", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{``, `x`, `[]`, `"a"`, `{"headers":["a"]}`, `{"headers":[null,"a"]}`, `{"headers":{}}`, `{"headers":[1,2]}`, `{"key":"a`} {
		if got, err := parseEnvelope([]byte(in)); err == nil {
			t.Errorf("%s = %+v, want an error", in, got)
		}
	}
}

// sameRecord compares what an envelope carries; null and empty differ.
func sameRecord(a, b *kgo.Record) bool {
	same := func(x, y []byte) bool { return (x == nil) == (y == nil) && bytes.Equal(x, y) }
	if !same(a.Key, b.Key) || !same(a.Value, b.Value) || len(a.Headers) != len(b.Headers) {
		return false
	}
	for i := range a.Headers {
		if a.Headers[i].Key != b.Headers[i].Key || !same(a.Headers[i].Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

// FuzzEnvelope: what consume -J prints, produce -J reads back, any bytes.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), "name", []byte("header"), byte(0))
	f.Add([]byte("\xff\xfe"), []byte("ä\u2028\ufffd"), "\xc3", []byte("\x00\x1f\x7f\x80"), byte(0))
	f.Add([]byte("\xed\xa0\x80"), []byte(`"\u0041\`), "", []byte(nil), byte(7))
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte, nulls byte) {
		r := &kgo.Record{Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: name, Value: header}}}
		for i, field := range []*[]byte{&r.Key, &r.Value, &r.Headers[0].Value} {
			if nulls>>i&1 == 1 {
				*field = nil
			} else if *field == nil {
				*field = []byte{}
			}
		}
		line := appendEnvelope(nil, r, 0)
		if strings.Count(string(line), "\n") != 1 {
			t.Fatalf("not one line: %q", line)
		}
		got, err := parseEnvelope(line[:len(line)-1])
		if err != nil || !sameRecord(got, r) {
			t.Fatalf("%q\nread back %+v, %v\nwant %+v", line, got, err, r)
		}
	})
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add([]byte(`{"headers":["a",null],"key":"k","payload":{"x":"\u20ac"}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if r, err := parseEnvelope(line); err == nil && len(r.Key)+len(r.Value) > 4*len(line)+8 {
			t.Errorf("%d bytes became %d", len(line), len(r.Key)+len(r.Value))
		}
	})
}
