package logs

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// clean is a text in at most mostText bytes, beside the note that it was cut.
// What does not print is escaped as in a string of Go: \n, \x1b, \u202e.
func clean(text string) string {
	end := printable(text)
	if end == len(text) && end <= mostText {
		return text
	}
	end = min(end, mostText)
	b := append(make([]byte, 0, mostText), text[:end]...)
	for i := end; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		before := len(b)
		switch {
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\x%02x`, text[i])
		case strconv.IsPrint(r):
			b = utf8.AppendRune(b, r)
		default:
			quoted := strconv.QuoteRune(r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		if len(b) > mostText {
			return noted(b[:before], len(text)-i)
		}
		i += size
	}
	return string(b)
}

// printable is how many of the first mostText bytes of a text are ASCII that
// prints: nearly all of nearly all texts.
func printable(text string) int {
	for i := range min(len(text), mostText) {
		if text[i] < ' ' || text[i] > '~' {
			return i
		}
	}
	return min(len(text), mostText)
}

// cut is a text in at most so many bytes, beside the note that it was cut.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return noted([]byte(text[:most]), len(text)-most)
}

func noted(kept []byte, more int) string {
	return fmt.Sprintf("%s…(%d bytes more)", kept, more)
}
