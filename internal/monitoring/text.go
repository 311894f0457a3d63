package monitoring

import (
	"cmp"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ottla/internal/metrics"
)

// textOutput writes the series of a scrape in Prometheus' text format: each
// family into a buffer of its own, since all series of a name must stand
// together. The series of a family have the order in which they came.
//
// The text is what Prometheus' library makes of the same series. It costs a tenth: no
// objects for series and labels, no check of what cannot be wrong, no sorting.
// The buffers are for the next scrape, too.
//
// Rejected: to write family after family into the answer and keep none. Each
// would go over all partitions again.
type textOutput struct {
	families map[string]*textFamily
	made     int64 // bytes
}

// textFamily is the series of a name; without any the text is empty.
type textFamily struct {
	name string
	text []byte
}

// reset drops the series.
func (o *textOutput) reset() {
	for _, f := range o.families {
		f.text = f.text[:0]
	}
	o.made = 0
}

func (o *textOutput) size() int64 { return o.made }

func (o *textOutput) sample(name, help string, kind prometheus.ValueType, value float64, labels []string) {
	typ := "gauge"
	if kind == prometheus.CounterValue {
		typ = "counter"
	}
	o.made += o.family(name, help, typ).add("", value, labels)
}

// histogram writes what the text format can tell of a native histogram.
func (o *textOutput) histogram(name, help string, shot *metrics.Snapshot, _ time.Time, labels []string) {
	f := o.family(name, help, "histogram")
	o.made += f.add("_bucket", float64(shot.Count), append(slices.Clip(labels), "le", "+Inf"))
	o.made += f.add("_sum", shot.Sum.Seconds(), labels)
	o.made += f.add("_count", float64(shot.Count), labels)
}

func (o *textOutput) family(name, help, typ string) *textFamily {
	f := o.families[name]
	if f == nil {
		f = &textFamily{name: name}
		o.families[name] = f
	}
	if len(f.text) == 0 {
		f.text = append(f.text, "# HELP "+name+" "+help+"\n# TYPE "+name+" "+typ+"\n"...)
	}
	return f
}

// add writes a line and returns its length.
func (f *textFamily) add(suffix string, value float64, labels []string) int64 {
	before := len(f.text)
	b := append(f.text, f.name...)
	b = append(b, suffix...)
	for i := 0; i < len(labels); i += 2 {
		b = append(b, "{,"[min(i, 1)])
		b = append(b, labels[i]...)
		b = append(b, `="`...)
		b = appendEscaped(b, labels[i+1])
		b = append(b, '"')
	}
	if len(labels) > 0 {
		b = append(b, '}')
	}
	b = append(b, ' ')
	b = appendValue(b, value)
	f.text = append(b, '\n')
	return int64(len(f.text) - before)
}

// appendEscaped appends the value of a label.
func appendEscaped(b []byte, value string) []byte {
	if !strings.ContainsAny(value, "\\\"\n") {
		return append(b, value...)
	}
	for _, c := range []byte(value) {
		switch c {
		case '\\', '"':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		default:
			b = append(b, c)
		}
	}
	return b
}

// appendValue appends a value in as few digits as tell it from all others.
func appendValue(b []byte, value float64) []byte {
	// What is whole and short, as nearly all is, is written so by 'g', too.
	if n := int64(value); float64(n) == value && n > -1_000_000 && n < 1_000_000 {
		return strconv.AppendInt(b, n, 10)
	}
	if math.IsInf(value, 1) {
		return append(b, "+Inf"...)
	}
	return strconv.AppendFloat(b, value, 'g', -1, 64)
}

// writeTo writes the families sorted by name, and between them those of other,
// which is a text of families sorted by name.
func (o *textOutput) writeTo(w io.Writer, other string) error {
	list := make([]*textFamily, 0, len(o.families))
	for _, f := range o.families {
		if len(f.text) > 0 {
			list = append(list, f)
		}
	}
	for other != "" {
		text := other
		if i := strings.Index(other[1:], "\n# HELP "); i >= 0 {
			text = other[:i+2]
		}
		other = other[len(text):]
		name, _, _ := strings.Cut(strings.TrimPrefix(text, "# HELP "), " ")
		list = append(list, &textFamily{name, []byte(text)})
	}
	slices.SortFunc(list, func(a, b *textFamily) int { return cmp.Compare(a.name, b.name) })
	for _, f := range list {
		if _, err := w.Write(f.text); err != nil {
			return err
		}
	}
	return nil
}
