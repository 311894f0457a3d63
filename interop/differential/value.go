package differential

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// The values of FIELDS, with which builder fills a kmsg struct:
//
//	Name=value …          fields of a struct; others have kmsg's default
//	{Name=value …}        a nested struct
//	[value value]         a list
//	12  true  null  word  "a string"
//	$NAME                 a kept value, or $v
//	id(topic)             the id of a topic; id(unknown) is an id that no topic has
//	repeat(a 300)         a string of 300 a
//	[many(a 300)]         a list of a0 to a299
//	hex(00ff)             bytes
//	batch{…} messages{…}  a record batch, an old message set (batch.go)
//	cat(value value)      concatenated byte values
type builder struct {
	src []rune
	pos int
	env env
}

// env resolves values that depend on the broker.
type env interface {
	variable(name string) (string, bool)
	topicID(name string) ([16]byte, error)
}

// fill sets the fields of *dst from text.
func fill(dst any, text string, e env) (err error) {
	b := &builder{src: []rune(text), env: e}
	defer func() {
		if err != nil {
			err = fmt.Errorf("at %q: %w", string(b.src[b.pos:]), err)
		}
	}()
	return b.fields(reflect.ValueOf(dst).Elem(), 0)
}

func (b *builder) skipSpace() {
	for b.pos < len(b.src) && unicode.IsSpace(b.src[b.pos]) {
		b.pos++
	}
}

// take consumes r if it is the next character.
func (b *builder) take(r rune) bool {
	b.skipSpace()
	if b.pos < len(b.src) && b.src[b.pos] == r {
		b.pos++
		return true
	}
	return false
}

func (b *builder) word() string {
	b.skipSpace()
	start := b.pos
	for b.pos < len(b.src) && !unicode.IsSpace(b.src[b.pos]) && !strings.ContainsRune("=[]{}()\"", b.src[b.pos]) {
		b.pos++
	}
	return string(b.src[start:b.pos])
}

// fields parses Name=value pairs up to the rune end, or to the end of the text
// if end is 0.
func (b *builder) fields(v reflect.Value, end rune) error {
	for {
		b.skipSpace()
		if b.pos == len(b.src) {
			if end != 0 {
				return fmt.Errorf("missing %q", end)
			}
			return nil
		}
		if end != 0 && b.take(end) {
			return nil
		}
		name := b.word()
		field := v.FieldByName(name)
		if name == "" || !field.IsValid() {
			return fmt.Errorf("%s has no field %q", v.Type(), name)
		}
		if !b.take('=') {
			return fmt.Errorf("want = after %s", name)
		}
		if err := b.value(field); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (b *builder) value(v reflect.Value) error {
	switch {
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct:
		v.Set(reflect.New(v.Type().Elem()))
		return b.value(v.Elem())
	case v.Kind() == reflect.Struct:
		if !b.take('{') {
			return fmt.Errorf("want { for a %s", v.Type())
		}
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		return b.fields(v, '}')
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8 && b.take('['):
		return b.list(v)
	}
	raw, null, err := b.scalar()
	if err != nil {
		return err
	}
	return assign(v, raw, null)
}

func (b *builder) list(v reflect.Value) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 4))
	for !b.take(']') {
		if b.pos == len(b.src) {
			return errors.New("missing ]")
		}
		if rest, ok := strings.CutPrefix(string(b.src[b.pos:]), "many("); ok {
			if err := b.many(v, rest); err != nil {
				return err
			}
			continue
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		if err := b.value(elem); err != nil {
			return err
		}
		v.Set(reflect.Append(v, elem))
	}
	return nil
}

// many appends many strings to a list; rest is the text after "many(".
func (b *builder) many(v reflect.Value, rest string) error {
	args, _, closed := strings.Cut(rest, ")")
	var prefix string
	var n int
	if _, err := fmt.Sscan(args, &prefix, &n); err != nil || !closed || v.Type().Elem().Kind() != reflect.String {
		return fmt.Errorf("want many(PREFIX N) in a list of strings, not %q", args)
	}
	b.pos += len([]rune("many(" + args + ")"))
	for i := range n {
		v.Set(reflect.Append(v, reflect.ValueOf(prefix+strconv.Itoa(i))))
	}
	return nil
}

// scalar parses one value that is not a struct or a list.
func (b *builder) scalar() (s string, null bool, err error) {
	if b.take('"') {
		s, err = b.quoted()
		return s, false, err
	}
	w := b.word()
	switch {
	case b.pos < len(b.src) && b.src[b.pos] == '(':
		b.pos++
		s, err = b.call(w)
	case b.pos < len(b.src) && b.src[b.pos] == '{' && (w == "batch" || w == "messages"):
		b.pos++
		s, err = b.records(w)
	case w == "null":
		return "", true, nil
	case w == "":
		return "", false, errors.New("want a value")
	default:
		s, err = b.expand(w)
	}
	return s, false, err
}

func (b *builder) quoted() (string, error) {
	start := b.pos
	for ; b.pos < len(b.src); b.pos++ {
		if b.src[b.pos] == '"' {
			b.pos++
			return b.expand(string(b.src[start : b.pos-1]))
		}
	}
	return "", errors.New("missing closing quote")
}

// expand replaces $NAME inside a word with its value.
func (b *builder) expand(s string) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, "$")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		n := 0
		for n < len(after) && (after[n] == '_' || unicode.IsLetter(rune(after[n]))) {
			n++
		}
		value, ok := b.env.variable(after[:n])
		if !ok {
			return "", fmt.Errorf("no variable $%s", after[:n])
		}
		out.WriteString(value)
		s = after[n:]
	}
}

func (b *builder) call(name string) (string, error) {
	if name == "cat" {
		var all strings.Builder
		for !b.take(')') {
			s, _, err := b.scalar()
			if err != nil {
				return "", err
			}
			all.WriteString(s)
		}
		return all.String(), nil
	}
	var args []string
	for !b.take(')') {
		s, _, err := b.scalar()
		if err != nil {
			return "", err
		}
		args = append(args, s)
	}
	return b.apply(name, args)
}

func (b *builder) apply(name string, args []string) (string, error) {
	switch {
	case name == "id" && len(args) == 1:
		id, err := b.env.topicID(args[0])
		return string(id[:]), err
	case name == "repeat" && len(args) == 2:
		n, err := strconv.Atoi(args[1])
		return strings.Repeat(args[0], n), err
	case name == "hex" && len(args) == 1:
		raw, err := hex.DecodeString(args[0])
		return string(raw), err
	}
	return "", fmt.Errorf("unknown function %s with %d arguments", name, len(args))
}

// assign converts raw to the type of v. Bytes are passed as strings.
func assign(v reflect.Value, raw string, null bool) error {
	if null {
		v.SetZero()
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		return assign(p.Elem(), raw, false)
	case reflect.String:
		v.SetString(raw)
	case reflect.Bool:
		x, err := strconv.ParseBool(raw)
		v.SetBool(x)
		return err
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		x, err := strconv.ParseInt(raw, 10, v.Type().Bits())
		v.SetInt(x)
		return err
	case reflect.Float64:
		x, err := strconv.ParseFloat(raw, 64)
		v.SetFloat(x)
		return err
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			return errors.New("want a list")
		}
		v.SetBytes([]byte(raw))
	case reflect.Array:
		if len(raw) != v.Len() {
			return fmt.Errorf("want %d bytes", v.Len())
		}
		reflect.Copy(v, reflect.ValueOf([]byte(raw)))
	default:
		return fmt.Errorf("no values for a %s", v.Type())
	}
	return nil
}
