package cli

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// formatGrammar is the grammar of -f as the help of consume tells it.
const formatGrammar = `Format (-f), kcat's:
  %s %S %R   value, its length (-1: null), its length as 4 bytes big endian
  %k %K      key, its length (-1: null)
  %h         headers: name=value,name=value
  %t %p %o   topic, partition, offset
  %T         timestamp in milliseconds since 1970
  %%         a percent sign; \n \r \t \0 \xNN as in C
and with braces franz-go's: %s{hex} %k{base64} %d{strftime[%F %T]} %h{%k=%v }
%H (number of headers) %e (leader epoch) %a{compression} and so on.`

// nullText is what -Z prints for null.
const nullText = "NULL"

// formatter prints records as -f says. It is a list of pieces: kcat's verbs are
// our own, everything else is left to franz-go's formatter.
type formatter []func(b []byte, r *kgo.Record) []byte

// parseFormat reads the value of -f. null is printed for null keys and values.
func parseFormat(layout, null string) (formatter, error) {
	var f formatter
	var other strings.Builder // what franz-go is to understand
	flush := func() error {
		if other.Len() == 0 {
			return nil
		}
		k, err := kgo.NewRecordFormatter(other.String())
		if err != nil {
			return fmt.Errorf("format %q: %w", layout, err)
		}
		other.Reset()
		f = append(f, k.AppendRecord)
		return nil
	}
	for rest := layout; rest != ""; {
		item, verb, err := nextItem(rest)
		if err != nil {
			return nil, fmt.Errorf("format %q: %w", layout, err)
		}
		rest = rest[len(item):]
		own := kcatVerb(verb, null)
		if own == nil {
			other.WriteString(forFranz(item, verb))
			continue
		}
		if err := flush(); err != nil {
			return nil, err
		}
		f = append(f, own)
	}
	return f, flush()
}

// nextItem cuts the next item off a layout: an escape or a single byte (verb
// 0), or a verb, with its braces when it has some (verb '{').
func nextItem(layout string) (item string, verb byte, err error) {
	switch {
	case layout[0] == '\\':
		n := 2
		if strings.HasPrefix(layout, `\x`) {
			n = 4
		}
		if len(layout) < n {
			return "", 0, errors.New("it ends inside an escape")
		}
		return layout[:n], 0, nil
	case layout[0] != '%':
		return layout[:1], 0, nil
	case len(layout) == 1:
		return "", 0, errors.New("it ends in a percent sign")
	case strings.IndexByte("%{}", layout[1]) >= 0:
		return layout[:2], 0, nil
	case len(layout) == 2 || layout[2] != '{':
		return layout[:2], layout[1], nil
	}
	depth := 0
	for i := 2; i < len(layout); i++ {
		switch layout[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			return layout[:i+1], '{', nil
		}
	}
	return "", 0, errors.New("a brace is not closed")
}

// forFranz translates an item for franz-go's formatter: its value verbs are v
// and V, and of escapes it knows fewer.
func forFranz(item string, verb byte) string {
	switch {
	case verb == '{' && item[1] == 's':
		return "%v" + item[2:]
	case verb == '{' && item[1] == 'S':
		return "%V" + item[2:]
	case item == `\0`:
		return `\x00`
	}
	return item
}

// kcatVerb returns the piece for one of kcat's verbs, nil for any other.
func kcatVerb(verb byte, null string) func([]byte, *kgo.Record) []byte {
	switch verb {
	case 's', 'v':
		return func(b []byte, r *kgo.Record) []byte { return appendBytes(b, r.Value, null) }
	case 'k':
		return func(b []byte, r *kgo.Record) []byte { return appendBytes(b, r.Key, null) }
	case 'S', 'V':
		return func(b []byte, r *kgo.Record) []byte { return strconv.AppendInt(b, length(r.Value), 10) }
	case 'K':
		return func(b []byte, r *kgo.Record) []byte { return strconv.AppendInt(b, length(r.Key), 10) }
	case 'R':
		return func(b []byte, r *kgo.Record) []byte {
			return binary.BigEndian.AppendUint32(b, uint32(length(r.Value)))
		}
	case 'T':
		return func(b []byte, r *kgo.Record) []byte { return strconv.AppendInt(b, r.Timestamp.UnixMilli(), 10) }
	case 'h':
		return appendHeaders
	}
	return nil
}

func appendBytes(b, data []byte, null string) []byte {
	if data == nil {
		return append(b, null...)
	}
	return append(b, data...)
}

// length is -1 for null, as kcat prints it.
func length(data []byte) int64 {
	if data == nil {
		return -1
	}
	return int64(len(data))
}

func appendHeaders(b []byte, r *kgo.Record) []byte {
	for i, h := range r.Headers {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, h.Key...), '=')
		b = appendBytes(b, h.Value, nullText)
	}
	return b
}

// delimited prints records as kcat does without -f: the key first when keys
// have a delimiter.
func delimited(keyDelimiter, delimiter, null string) formatter {
	return formatter{func(b []byte, r *kgo.Record) []byte {
		if keyDelimiter != "" {
			b = append(appendBytes(b, r.Key, null), keyDelimiter...)
		}
		return append(appendBytes(b, r.Value, null), delimiter...)
	}}
}

func (f formatter) append(b []byte, r *kgo.Record) []byte {
	for _, piece := range f {
		b = piece(b, r)
	}
	return b
}
