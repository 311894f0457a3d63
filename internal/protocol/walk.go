package protocol

import "encoding/binary"

// walker checks a body against a shape.
//
//  1. It reads the shape's text and the body side by side. Scalars are skipped,
//     strings and bytes by their lengths, arrays element by element.
//  2. A length that is not covered by what is left of the body ends the walk,
//     and so does null where the shape allows none.
//  3. Tagged fields end each structure of a flexible version. Known ones are
//     walked within their size; unknown ones are counted.
//  4. When there were unknown ones a second walk notes edits: counts and sizes
//     change, the fields go. The edits make a body that never had them.
//
// Rejected: one pass over the body by a decoder made from the schema, which
// would need a decoder, and types, for each of the 89 APIs beside kmsg's.
type walker struct {
	reader
	shape    string
	version  int16
	flexible bool
	body     []byte
	// tagged and unknown count the structures that have tagged fields, the
	// tagged fields that are known, and those that are not.
	tagged, known, unknown int
	// edits is nil in the first walk.
	edits []edit
}

// edit replaces body[from:to] by a varint, or by nothing.
type edit struct {
	from, to int32
	varint   int32 // −1: nothing
}

// check walks body, which begins a request of the version, and returns it
// without unknown tagged fields.
func (s *shape) check(version int16, body []byte) ([]byte, error) {
	w := walker{
		reader: reader{src: body}, body: body, shape: s.fields,
		version: version, flexible: version >= s.flexible,
	}
	w.structure(0)
	if w.bad || len(body) > maxInt32 {
		return nil, ErrMalformed
	}
	if w.unknown == 0 {
		return body, nil
	}
	w.src, w.edits = body, make([]edit, 0, w.tagged+w.known+w.unknown)
	w.structure(0)
	return w.edited(), nil
}

// at is the position of the reader in the body.
func (w *walker) at() int { return len(w.body) - len(w.src) }

// structure walks the fields that begin at p of the shape, and the tagged
// fields behind them. It returns the position of the bracket that closes the
// structure.
func (w *walker) structure(p int) int {
	known := -1 // where the known tagged fields begin
	for p < len(w.shape) && !w.bad {
		switch w.shape[p] {
		case ' ', ')':
			p++
		case '(':
			p = w.versions(p)
		case '<':
			if known < 0 {
				known = p
			}
			p = closing(w.shape, p) + 1
		case ']', '}':
			w.tags(known)
			return p
		default:
			p = w.field(p)
		}
	}
	w.tags(known)
	return p
}

// versions enters the group that begins at p when it holds for the version,
// else leaps over it.
func (w *walker) versions(p int) int {
	from, q := decimal(w.shape, p+1)
	to := from
	switch w.shape[q] {
	case '+':
		to, q = w.version, q+1
	case '-':
		to, q = decimal(w.shape, q+1)
	}
	if w.version < from || w.version > to {
		return closing(w.shape, p) + 1
	}
	return q
}

// field walks the field whose type begins at p and returns what follows.
func (w *walker) field(p int) int {
	nullable := w.shape[p] == '~'
	if nullable {
		p++
	}
	switch w.shape[p] {
	case '*':
		w.scalars(w.shape[p+1], w.counted(nullable, w.bytesLen(w.flexible)))
		return p + 2
	case '[':
		for range w.counted(nullable, w.bytesLen(w.flexible)) {
			if w.structure(p + 1); w.bad {
				break
			}
		}
		return closing(w.shape, p) + 1
	case '{':
		if !nullable || w.int8() >= 0 {
			w.structure(p + 1)
		}
		return closing(w.shape, p) + 1
	case 's':
		w.span(w.counted(nullable, w.stringLen(w.flexible)))
	case 'b':
		w.span(w.counted(nullable, w.bytesLen(w.flexible)))
	default:
		w.span(width(w.shape[p]))
	}
	return p + 1
}

// counted is the number of elements behind a length field.
func (w *walker) counted(nullable bool, n int) int {
	if n >= 0 {
		return n
	}
	if !nullable {
		w.fail()
	}
	return 0
}

// scalars walks the elements of an array that are not structures.
func (w *walker) scalars(kind byte, n int) {
	if kind != 's' {
		w.span(n * width(kind))
		return
	}
	for range n {
		if w.span(w.counted(false, w.stringLen(w.flexible))); w.bad {
			return
		}
	}
}

// tags walks the tagged fields at the end of a structure; the known ones are
// described from p of the shape on, −1 when there are none.
func (w *walker) tags(p int) {
	if !w.flexible || w.bad {
		return
	}
	from := w.at()
	n := w.uvarint()
	if n == 0 || w.bad {
		return
	}
	w.tagged++
	count := w.note(from, w.at(), n)
	for range n {
		from := w.at()
		number := w.uvarint()
		sizeAt := w.at()
		content := w.span(w.uvarint())
		if w.bad {
			return
		}
		if of := w.find(p, number); of >= 0 {
			w.knownTag(of, sizeAt, content)
		} else {
			w.unknown++
			w.cut(from, count)
		}
	}
}

// find looks for the description of a tagged field in the shape, −1 when it is
// unknown.
func (w *walker) find(p, number int) int {
	for p >= 0 && p < len(w.shape) && w.shape[p] == '<' {
		of, q := decimal(w.shape, p+1)
		if int(of) == number {
			return q + 1
		}
		if p = closing(w.shape, p) + 1; p < len(w.shape) && w.shape[p] == ' ' {
			p++
		}
	}
	return -1
}

// knownTag walks the content of a tagged field, whose size stands at sizeAt,
// along the type at p.
func (w *walker) knownTag(p, sizeAt int, content []byte) {
	w.known++
	size := w.note(sizeAt, w.at()-len(content), len(content))
	// The walk goes on over the content alone; at() must not notice.
	whole, after := w.body, w.src
	w.body, w.src = whole[:w.at()], content
	w.field(p)
	w.body = whole
	if w.bad {
		return
	}
	w.src = after
	for i := size + 1; i < len(w.edits); i++ {
		e := &w.edits[i]
		w.edits[size].varint -= e.to - e.from - varintLen(e.varint)
	}
}

// note notes that the varint body[from:to] has the value v, which may yet
// change. It returns the index of the edit.
func (w *walker) note(from, to, v int) int {
	if w.edits == nil {
		return -1
	}
	w.edits = append(w.edits, edit{int32(from), int32(to), int32(v)})
	return len(w.edits) - 1
}

// cut notes that the tagged field from from to here is left out, and not
// counted.
func (w *walker) cut(from, count int) {
	if w.edits == nil {
		return
	}
	w.edits[count].varint--
	if last := &w.edits[len(w.edits)-1]; last.to == int32(from) && last.varint < 0 {
		last.to = int32(w.at())
		return
	}
	w.edits = append(w.edits, edit{int32(from), int32(w.at()), -1})
}

// edited is the body with the edits made.
func (w *walker) edited() []byte {
	out := make([]byte, 0, len(w.body))
	done := int32(0)
	for _, e := range w.edits {
		out = append(out, w.body[done:e.from]...)
		if e.varint >= 0 {
			out = binary.AppendUvarint(out, uint64(e.varint))
		}
		done = e.to
	}
	return append(out, w.body[done:]...)
}

// varintLen is the length of an edit's varint.
func varintLen(v int32) int32 {
	if v < 0 {
		return 0
	}
	n := int32(1)
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// width is the size of a fixed-width type.
func width(kind byte) int {
	if kind == 'u' {
		return 16
	}
	return int(kind - '0')
}

// decimal reads the decimal number at p of a shape; none is 0.
func decimal(shape string, p int) (int16, int) {
	n := int16(0)
	for ; shape[p] >= '0' && shape[p] <= '9'; p++ {
		n = n*10 + int16(shape[p]-'0')
	}
	return n, p
}

// closing finds the bracket that closes the one at p.
func closing(shape string, p int) int {
	depth := 0
	for ; ; p++ {
		switch shape[p] {
		case '[', '{', '<', '(':
			depth++
		case ']', '}', '>', ')':
			if depth--; depth == 0 {
				return p
			}
		}
	}
}
