package schema

import (
	"errors"
	"testing"
)

// TestReaderRefuses checks that input that the schema does not allow is an
// error, and that every read after it returns zero.
func TestReaderRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		src  []byte
		read func(r *Reader)
	}{
		"boolean 2":              {[]byte{2}, func(r *Reader) { r.Bool() }},
		"short int64":            {make([]byte, 7), func(r *Reader) { r.Int64() }},
		"null string":            {[]byte{0}, func(r *Reader) { r.CompactString() }},
		"null list":              {[]byte{0}, func(r *Reader) { List(r, (*Reader).Int8) }},
		"list longer than bytes": {[]byte{9, 1, 2}, func(r *Reader) { List(r, (*Reader).Int8) }},
		"negative short string":  {[]byte{0xff, 0xff}, func(r *Reader) { r.ShortString() }},
		"short string cut":       {[]byte{0, 2, 'a'}, func(r *Reader) { r.ShortString() }},
		"presence 2":             {[]byte{2}, func(r *Reader) { r.Present() }},
		"endless uvarint":        {[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 1}, func(r *Reader) { r.Uvarint() }},
		"tags not ascending":     {[]byte{2, 1, 0, 1, 0}, func(r *Reader) { r.Tags(nil) }},
		"tag beyond the end":     {[]byte{1, 0, 5}, func(r *Reader) { r.Tags(nil) }},
		"bytes left over":        {[]byte{0, 0}, func(r *Reader) { r.Int8() }},
		"tag not used up": {[]byte{1, 0, 2, 0, 0}, func(r *Reader) {
			r.Tags(func(_ uint32, field *Reader) bool { field.Int8(); return true })
		}},
	} {
		r := NewReader(test.src)
		test.read(&r)
		if err := r.End(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if n := r.Int32(); n != 0 || len(r.Rest()) != 0 {
			t.Errorf("%s: %d and %x after the error", name, n, r.Rest())
		}
	}
}
