package differential

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/wire"
)

// Line is one field of an answer: Topics[orders].Partitions[0].LeaderEpoch.
// Elements of lists are named by their key field, so that the order in which a
// broker lists them does not matter. Fields with kmsg's default value are
// omitted, except error codes.
type Line struct {
	Path, Value string
}

func (l Line) String() string { return strings.TrimRight(l.Path+" "+l.Value, " ") }

// names assigns neutral names to values that always differ between two brokers.
type names struct {
	addr, port, dir string
	topics          map[[16]byte]string
	kept            map[string]string // value → $name, for ids that a script kept
	masks           []string
	now             time.Time
}

// printer converts a response to lines.
type printer struct {
	names *names
	lines []Line
	raw   map[string]string // path → value before it was replaced by a neutral name
}

// show prints an answer. If kmsg does not write back the same bytes (a null for
// an empty list, bytes after the end), this is shown as the line "encoding".
func show(a wire.Answer, n *names) *printer {
	p := &printer{names: n, raw: make(map[string]string)}
	if a.Response == nil {
		p.add("", "no answer")
		return p
	}
	if again := a.Response.AppendTo(nil); !bytes.Equal(again, a.Body) {
		p.add("encoding", fmt.Sprintf("kmsg writes %d bytes, got %d", len(again), len(a.Body)))
	}
	p.structure("", nil, reflect.ValueOf(a.Response).Elem())
	return p
}

func (p *printer) add(at, value string) {
	for _, mask := range p.names.masks {
		if matches(mask, at) {
			value = "<masked>"
		}
	}
	p.lines = append(p.lines, Line{at, value})
}

// structure prints the fields of v, except the key fields that at already
// contains. Documentation is omitted, because Ottla's texts differ from
// Kafka's.
func (p *printer) structure(at string, keyFields []string, v reflect.Value) {
	defaults := defaultsOf(v)
	before := len(p.lines)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Name == "Version" && at == "", f.Name == "Documentation", slices.Contains(keyFields, f.Name):
			continue
		case f.Name == "UnknownTags":
			if tags := v.Field(i).Addr().Interface().(*kmsg.Tags); tags.Len() > 0 {
				p.add(join(at, f.Name), strconv.Itoa(tags.Len()))
			}
			continue
		}
		if f.Name != "ErrorCode" && reflect.DeepEqual(v.Field(i).Interface(), defaults.Field(i).Interface()) {
			p.raw[join(at, f.Name)] = rawText(v.Field(i))
			continue
		}
		p.field(join(at, f.Name), f.Name, v.Field(i))
	}
	if at != "" && len(p.lines) == before {
		p.add(at, "")
	}
}

func defaultsOf(v reflect.Value) reflect.Value {
	fresh := reflect.New(v.Type())
	if d, ok := fresh.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	return fresh.Elem()
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func (p *printer) field(at, name string, v reflect.Value) {
	switch {
	case name == "RecordBatches" || name == "Records" && v.Type().Elem().Kind() == reflect.Uint8:
		p.recordBatches(at, v.Bytes())
	case v.Kind() == reflect.Struct:
		p.structure(at, nil, v)
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct:
		if !v.IsNil() {
			p.structure(at, nil, v.Elem())
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		p.list(at, name, v)
	default:
		p.raw[at] = rawText(v)
		p.add(at, p.names.value(name, v))
	}
}

// list prints the elements of a list under the name of their key field, in that
// order. The synonyms of a config are ordered by precedence and keep their
// index.
func (p *printer) list(at, name string, v reflect.Value) {
	if v.Len() == 0 && !v.IsNil() {
		p.add(at, "[] (not null)")
	}
	elems := make([]element, v.Len())
	for i := range elems {
		elems[i] = element{key: strconv.Itoa(i), value: v.Index(i)}
		if name != "ConfigSynonyms" {
			elems[i].identify(p.names)
		}
	}
	sort.SliceStable(elems, func(i, j int) bool { return naturallyLess(elems[i].key, elems[j].key) })
	used := make(map[string]int)
	for _, e := range elems {
		key := e.key
		if used[key]++; used[key] > 1 {
			key = fmt.Sprintf("%s#%d", key, used[key])
		}
		p.structure(at+"["+key+"]", e.fields, e.value)
	}
}

// element is an element of a list and the fields that identify it.
type element struct {
	key    string
	fields []string
	value  reflect.Value
}

// identifying returns the field that identifies an element of a list, in order
// of preference.
var identifying = []string{
	"Topic", "Group", "Key", "ResourceName", "Name", "Partition", "ApiKey", "NodeID", "BrokerID", "Dir",
	"TransactionalID", "User", "ReplicaID", "ProducerID", "BatchIndex", "TopicID",
}

func (e *element) identify(n *names) {
	if v := e.value.FieldByName("ResourceType"); v.IsValid() {
		e.key = fmt.Sprintf("%v:%s", v.Interface(), e.value.FieldByName("ResourceName").String())
		e.fields = []string{"ResourceType", "ResourceName"}
		return
	}
	for _, name := range identifying {
		v := e.value.FieldByName(name)
		if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			continue
		}
		text := strings.Trim(n.value(name, v), `"`)
		switch {
		case name == "ApiKey":
			text = kmsg.NameForKey(int16(v.Int()))
		case text == "" && name != "Group", v.Kind() == reflect.Array && text == "0":
			continue
		}
		e.key, e.fields = text, []string{name}
		return
	}
}

// naturallyLess compares numbers as numbers and other values as text.
func naturallyLess(a, b string) bool {
	x, err1 := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	if err1 == nil && err2 == nil {
		return x < y
	}
	return a < b
}

// rawText is the value in a form that a script can send back.
func rawText(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "null"
		}
		return rawText(v.Elem())
	case reflect.Array:
		return string(v.Bytes())
	}
	return fmt.Sprint(v.Interface())
}

// value prints a scalar or a list of scalars.
func (n *names) value(name string, v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "null"
		}
		return n.value(name, v.Elem())
	case reflect.String:
		if strings.HasSuffix(name, "Message") {
			return longNumber.ReplaceAllStringFunc(n.text(v.String()), n.clock)
		}
		return n.text(v.String())
	case reflect.Array:
		return n.id([16]byte(v.Bytes()))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fmt.Sprintf("%q", v.Bytes())
		}
		return n.scalars(name, v)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return n.integer(name, v.Int())
	}
	return fmt.Sprint(v.Interface())
}

func (n *names) scalars(name string, v reflect.Value) string {
	words := make([]string, v.Len())
	for i := range words {
		words[i] = n.value(name, v.Index(i))
	}
	return "[" + strings.Join(words, " ") + "]"
}

// nearNow is the maximum distance to the clock of a timestamp that counts as
// taken from the clock. The fixed timestamps of the scripts are years older.
const nearNow = 48 * time.Hour

func (n *names) integer(name string, x int64) string {
	switch {
	case name == "ErrorCode":
		return errorName(int16(x))
	case name == "Port" && strconv.FormatInt(x, 10) == n.port:
		return "<port>"
	case name == "ProducerID" || name == "SessionID":
		if kept, ok := n.kept[strconv.FormatInt(x, 10)]; ok {
			return kept
		}
		if name == "SessionID" && x != 0 {
			return "<session>"
		}
	}
	if n.recent(x) {
		return "<now>"
	}
	return strconv.FormatInt(x, 10)
}

func errorName(code int16) string {
	if err := kerr.TypedErrorForCode(code); err != nil {
		return err.Message
	}
	return "NONE"
}

func (n *names) id(id [16]byte) string {
	switch id {
	case [16]byte{}:
		return "0"
	case unknownID:
		return "<unknown id>"
	}
	if topic, ok := n.topics[id]; ok {
		return "<id of " + topic + ">"
	}
	return "<an id>"
}

// longNumber may be a clock reading inside a message.
var longNumber = regexp.MustCompile(`-?[0-9]{13,19}\b`)

// clock replaces timestamps near the current time, and timestamps that
// overflowed because the largest possible span was subtracted from the current
// time.
func (n *names) clock(digits string) string {
	x, err := strconv.ParseInt(digits, 10, 64)
	if err == nil && (n.recent(x) || n.recent(x+math.MaxInt64)) {
		return "<time>"
	}
	return digits
}

func (n *names) recent(millis int64) bool {
	d := n.now.Sub(time.UnixMilli(millis))
	return -nearNow < d && d < nearNow
}

var uuidText = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

// memberUUID is the part that a broker appends to the id of a client or an
// instance to make a member id.
var memberUUID = regexp.MustCompile(`-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b`)

// text prints a string and replaces the broker's address, folder and ids.
func (n *names) text(s string) string {
	if uuidText.MatchString(s) && strings.ContainsAny(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return "<an id>"
	}
	s = strings.ReplaceAll(s, n.addr, "<addr>")
	s = strings.ReplaceAll(s, n.dir, "<dir>")
	s = memberUUID.ReplaceAllString(s, "-<random>")
	for id, topic := range n.topics {
		s = strings.ReplaceAll(s, encodeID(id), "<id of "+topic+">")
	}
	return strconv.Quote(s)
}
