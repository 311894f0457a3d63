package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxFileBytes is the maximum size of a properties file.
const maxFileBytes = 1 << 20

// Property is one entry of a properties file.
type Property struct {
	Name, Value string
	Line        int // line number of the entry's first character, from 1
}

// ParseProperties parses Java's properties format: lines "name=value",
// "name:value" or "name value", comments after # or !, a backslash at the end
// of a line to continue it, and the escapes \t \n \r \f \uXXXX. Any other
// escaped character stands for itself. The text is UTF-8. (Java reads ISO
// 8859-1, which is the same for ASCII.) A duplicate name is refused. Java uses
// the last one, but a duplicate is usually a mistake. The error is an *Error
// whose message begins with the line.
//
// The algorithm has three steps:
//
//  1. Split the text into natural lines. Drop blank lines and comments.
//  2. Join continued lines to a logical line, without the leading white space
//     of the continuations.
//  3. Split the logical line at the first unescaped separator and resolve the
//     escapes of both halves.
func ParseProperties(text string) ([]Property, error) {
	all, fail := parseProperties(text)
	if fail != nil {
		return nil, fail
	}
	return all, nil
}

func parseProperties(text string) ([]Property, *Error) {
	if len(text) > maxFileBytes {
		return nil, &Error{Message: fmt.Sprintf("the file has %d bytes, more than %d", len(text), maxFileBytes)}
	}
	if !utf8.ValidString(text) {
		return nil, &Error{Message: "the file is not UTF-8"}
	}
	reader := lineReader{rest: strings.TrimPrefix(text, "\ufeff")}
	seen := map[string]int{}
	var all []Property
	for {
		logical, line, ok := reader.next()
		if !ok {
			return all, nil
		}
		p, why := splitProperty(logical)
		p.Line = line
		if first, twice := seen[p.Name]; twice && why == "" {
			why = fmt.Sprintf("%s is set a second time (first in line %d)", p.Name, first)
		}
		if why != "" {
			return nil, &Error{Name: p.Name, Message: fmt.Sprintf("line %d: %s", line, why)}
		}
		seen[p.Name] = line
		all = append(all, p)
	}
}

// lineReader splits a text into logical lines.
type lineReader struct {
	rest string
	line int // number of the last natural line that was read
}

// next returns the next logical line that is neither blank nor a comment, and
// the number of its first natural line.
func (r *lineReader) next() (logical string, line int, ok bool) {
	for r.rest != "" {
		natural := strings.TrimLeft(r.natural(), blanks)
		if natural == "" || natural == `\` || natural[0] == '#' || natural[0] == '!' {
			continue // a line with only a backslash continues nothing, so the next line is a new one
		}
		line = r.line
		var joined strings.Builder
		for continued(natural) {
			joined.WriteString(natural[:len(natural)-1])
			if r.rest == "" {
				natural = ""
				break
			}
			natural = strings.TrimLeft(r.natural(), blanks)
		}
		joined.WriteString(natural)
		return joined.String(), line, true
	}
	return "", 0, false
}

// blanks are the white space characters of the format.
const blanks = " \t\f"

// natural returns the next natural line. It ends with LF, CR or both.
func (r *lineReader) natural() string {
	r.line++
	end := strings.IndexAny(r.rest, "\r\n")
	if end < 0 {
		line := r.rest
		r.rest = ""
		return line
	}
	line := r.rest[:end]
	if strings.HasPrefix(r.rest[end:], "\r\n") {
		end++
	}
	r.rest = r.rest[end+1:]
	return line
}

// continued reports whether a line ends with an odd number of backslashes.
func continued(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

// splitProperty splits a logical line into name and value.
func splitProperty(line string) (Property, string) {
	end := 0
	for end < len(line) && !strings.ContainsRune("=:"+blanks, rune(line[end])) {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	rest := strings.TrimLeft(line[end:], blanks)
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], blanks)
	}
	name, why := unescape(line[:end])
	if why != "" {
		return Property{}, why
	}
	if name == "" {
		return Property{}, "a name is missing before " + strconv.Quote(line[end:])
	}
	value, why := unescape(rest)
	return Property{Name: name, Value: value}, why
}

// unescape resolves the escapes in one half of a line.
func unescape(s string) (string, string) {
	if !strings.Contains(s, `\`) {
		return s, ""
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			break // a single backslash at the end of the file
		}
		switch s[i] {
		case 't':
			out.WriteByte('\t')
		case 'n':
			out.WriteByte('\n')
		case 'r':
			out.WriteByte('\r')
		case 'f':
			out.WriteByte('\f')
		case 'u':
			r, n := unicodeEscape(s[i-1:])
			if n == 0 {
				return "", `\u is not followed by four hexadecimal digits`
			}
			out.WriteRune(r)
			i += n - 2
		default:
			out.WriteByte(s[i])
		}
	}
	return out.String(), ""
}

// unicodeEscape parses \uXXXX, or two of them that form a surrogate pair. It
// returns the character and the number of bytes; 0 if the escape is malformed.
func unicodeEscape(s string) (rune, int) {
	one, ok := hexUnit(s)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(one) {
		if two, ok := hexUnit(s[6:]); ok {
			if r := utf16.DecodeRune(one, two); r != utf8.RuneError {
				return r, 12
			}
		}
		return utf8.RuneError, 6
	}
	return one, 6
}

func hexUnit(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
