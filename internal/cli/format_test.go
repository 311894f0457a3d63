package cli

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func testRecord() *kgo.Record {
	return &kgo.Record{
		Topic: "orders", Partition: 3, Offset: 42, LeaderEpoch: 7,
		Timestamp: time.UnixMilli(1700000000123),
		Key:       []byte("k1"), Value: []byte("hello"),
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}, {Key: "c", Value: []byte{}}},
	}
}

func TestFormat(t *testing.T) {
	nulls := testRecord()
	nulls.Key, nulls.Value, nulls.Headers = nil, nil, nil
	empty := testRecord()
	empty.Key, empty.Value = []byte{}, []byte{}
	cases := []struct {
		layout string
		record *kgo.Record
		null   string
		want   string
	}{
		{`Topic %t [%p] at offset %o: key %k: %s\n`, testRecord(), "", "Topic orders [3] at offset 42: key k1: hello\n"},
		{`%S %K %T`, testRecord(), "", "5 2 1700000000123"},
		{`%S %K|%s|%k|%h`, nulls, "", "-1 -1|||"},
		{`%s,%k`, nulls, "NULL", "NULL,NULL"},
		{`%s,%k,%S,%K`, empty, "NULL", ",,0,0"},
		{`%h`, testRecord(), "", "a=1,b=NULL,c="},
		{`%R%s`, testRecord(), "", "\x00\x00\x00\x05hello"},
		{`%R`, nulls, "", "\xff\xff\xff\xff"},
		{`100%% \t\r\n\x41\0\\`, testRecord(), "", "100% \t\r\nA\x00\\"},
		{`{"k":"%k"}`, testRecord(), "", `{"k":"k1"}`},
		{`%{%k%}`, testRecord(), "", "{k1}"},
		// franz-go's
		{`%v %V`, testRecord(), "", "hello 5"},
		{`%s{hex} %k{base64}`, testRecord(), "", "68656c6c6f azE="},
		{`%S{big16}`, testRecord(), "", "\x00\x05"},
		{`%H %e`, testRecord(), "", "3 7"},
		{`%h{%k=%v;}`, testRecord(), "", "a=1;b=;c=;"},
		{`%d{strftime[%Y-%m-%d]} %d{go{2006}}`, testRecord(), "", "2023-11-14 2023"},
		{`%T{ascii}`, testRecord(), "", "6"}, // with braces: franz-go's length of the topic
		{`%a{compression}`, testRecord(), "", "none"},
		{``, testRecord(), "", ""},
	}
	for _, c := range cases {
		f, err := parseFormat(c.layout, c.null)
		if err != nil {
			t.Errorf("%q: %v", c.layout, err)
			continue
		}
		if got := string(f.append(nil, c.record)); got != c.want {
			t.Errorf("%q prints %q, want %q", c.layout, got, c.want)
		}
	}
}

func TestFormatRefuses(t *testing.T) {
	for _, layout := range []string{`%`, `%z`, `%s{`, `%s{hex`, `%s{nonsense}`, `\`, `\x`, `\x4`, `%d{strftime}`, `%q %s`} {
		if _, err := parseFormat(layout, ""); err == nil {
			t.Errorf("%q was accepted", layout)
		}
	}
}

func TestDelimited(t *testing.T) {
	r := testRecord()
	nulls := &kgo.Record{}
	cases := []struct {
		f    formatter
		r    *kgo.Record
		want string
	}{
		{delimited("", "\n", ""), r, "hello\n"},
		{delimited(":", "\x00", ""), r, "k1:hello\x00"},
		{delimited(":", "\n", ""), nulls, ":\n"},
		{delimited(":", "\n", "NULL"), nulls, "NULL:NULL\n"},
	}
	for _, c := range cases {
		if got := string(c.f.append(nil, c.r)); got != c.want {
			t.Errorf("printed %q, want %q", got, c.want)
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"": "", `\n`: "\n", `a\tb\r`: "a\tb\r", `\x00\x7c`: "\x00|", `\0`: "\x00", `\\n`: `\n`, `\,`: ",", "|": "|",
	} {
		if got, err := unescape(in); err != nil || got != want {
			t.Errorf("unescape(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{`\`, `\x`, `\xg0`, `a\x1`} {
		if got, err := unescape(in); err == nil {
			t.Errorf("unescape(%q) = %q, want an error", in, got)
		}
	}
}

func FuzzFormat(f *testing.F) {
	f.Add(`%t [%p] %o %k{hex} %d{strftime[%F]} %h{%k=%v}\x00\n`)
	f.Fuzz(func(t *testing.T, layout string) {
		if format, err := parseFormat(layout, ""); err == nil {
			format.append(nil, testRecord())
			format.append(nil, &kgo.Record{})
		}
	})
}
