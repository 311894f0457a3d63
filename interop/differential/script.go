package differential

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Script is a file of cases, run from top to bottom against a broker:
//
//	# a comment
//	broker KEY=VALUE …            properties of the broker; such a script gets its own brokers
//	send CASE API VERSIONS FIELDS  a request; VERSIONS is 3, 2..7, or all
//	keep NAME PATH                sets $NAME to the value at PATH in the last answer
//	mask GLOB                     values at matching paths are not compared in this file
//	frame CASE BYTES              raw bytes after their length (bytes.go has the words)
//	bytes CASE BYTES              raw bytes
//	connect                       continue on a new connection
//	timed                         from here on also compare the times of answers, as
//	                              a line "answered"; if the times differ the script
//	                              runs again, with another $try
//	begin CASE API VERSION FIELDS a request on its own connection, without waiting
//	                              for the answer
//	end CASE                      the answer to a request that was begun
//
// A line that begins with white space continues the statement above it. FIELDS
// have the names of kmsg's structs and the values of value.go. $v is the
// version of the request with the prefix v. $try is the number of the run, for
// names that must differ.
type Script struct {
	Name   string // of the file, without folder and extension
	Broker []string
	Timed  bool
	Steps  []Step
}

// Step is one statement.
type Step struct {
	Line     int
	Verb     string // send, keep, mask, frame, bytes, connect, begin, end
	Case     string // send, frame, bytes, begin, end: the name; keep: the variable; mask: the glob
	API      string
	Key      int16
	Versions []int16
	Text     string // send: FIELDS; keep: PATH; frame, bytes: BYTES
}

// LoadScripts parses every script of a folder.
func LoadScripts(dir string) ([]*Script, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no scripts in %s", dir)
	}
	var scripts []*Script
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		s, err := ParseScript(strings.TrimSuffix(filepath.Base(file), ".txt"), string(text))
		if err != nil {
			return nil, fmt.Errorf("%s:%w", file, err)
		}
		scripts = append(scripts, s)
	}
	return scripts, nil
}

// ParseScript parses one script; an error begins with the line number.
func ParseScript(name, text string) (*Script, error) {
	s := &Script{Name: name}
	seen := make(map[string]bool)
	for _, st := range statements(text) {
		step, err := parseStep(st)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", st.line, err)
		}
		if step.Verb == "broker" {
			s.Broker = append(s.Broker, strings.Fields(step.Text)...)
			continue
		}
		if step.Verb == "timed" {
			s.Timed = true
			continue
		}
		if named := slices.Contains([]string{"send", "begin", "frame", "bytes"}, step.Verb); named {
			if seen[step.Case] {
				return nil, fmt.Errorf("%d: duplicate case %s", st.line, step.Case)
			}
			seen[step.Case] = true
		}
		s.Steps = append(s.Steps, step)
	}
	return s, nil
}

type statement struct {
	line int
	text string
}

// statements joins continued lines and removes comments.
func statements(text string) []statement {
	var out []statement
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
		case line[0] == ' ' || line[0] == '\t':
			if len(out) > 0 {
				out[len(out)-1].text += " " + trimmed
			}
		default:
			out = append(out, statement{line: i + 1, text: trimmed})
		}
	}
	return out
}

func parseStep(st statement) (Step, error) {
	verb, rest, _ := strings.Cut(st.text, " ")
	step := Step{Line: st.line, Verb: verb}
	switch verb {
	case "connect", "timed":
		return step, nil
	case "broker":
		step.Text = rest
		return step, nil
	case "mask", "end":
		step.Case = strings.TrimSpace(rest)
		return step, nil
	case "keep", "frame", "bytes":
		step.Case, step.Text = cutWord(rest)
		return step, nil
	case "send", "begin":
		return parseSend(step, rest)
	}
	return step, fmt.Errorf("unknown statement %q", verb)
}

func parseSend(step Step, rest string) (Step, error) {
	step.Case, rest = cutWord(rest)
	step.API, rest = cutWord(rest)
	versions, rest := cutWord(rest)
	step.Text = rest
	key, ok := apiKeys[step.API]
	if !ok {
		return step, fmt.Errorf("unknown API %q", step.API)
	}
	step.Key = key
	var err error
	step.Versions, err = parseVersions(key, versions)
	return step, err
}

func cutWord(s string) (word, rest string) {
	word, rest, _ = strings.Cut(strings.TrimLeft(s, " "), " ")
	return word, strings.TrimLeft(rest, " ")
}

var apiKeys = func() map[string]int16 {
	keys := make(map[string]int16)
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		keys[kmsg.NameForKey(key)] = key
	}
	return keys
}()

// parseVersions parses 3, 2..7, or all. all is from the lowest version of Kafka
// 4.3 to kmsg's highest within Kafka's range.
func parseVersions(key int16, s string) ([]int16, error) {
	if s == "all" {
		r, ok := served[key]
		if !ok {
			return nil, fmt.Errorf("no version range known for API %d", key)
		}
		return span(r[0], r[1]), nil
	}
	low, high, isRange := strings.Cut(s, "..")
	if !isRange {
		high = low
	}
	from, err1 := strconv.ParseInt(low, 10, 16)
	to, err2 := strconv.ParseInt(high, 10, 16)
	if err := errors.Join(err1, err2); err != nil || from > to {
		return nil, fmt.Errorf("versions %q: want 3, 2..7 or all", s)
	}
	return span(int16(from), int16(to)), nil
}

func span(from, to int16) []int16 {
	var out []int16
	for v := from; v <= to; v++ {
		out = append(out, v)
	}
	return out
}

// served contains the version ranges that a broker listener of Kafka 4.3.1
// advertises, for the APIs that have cases. checkServed compares it with
// ApiVersions.
var served = map[int16][2]int16{
	0: {3, 13}, 1: {4, 18}, 2: {1, 11}, 3: {0, 13}, 8: {2, 10}, 9: {1, 10}, 10: {0, 6}, 11: {0, 9}, 12: {0, 4}, 13: {0, 5}, 14: {0, 5}, 15: {0, 6}, 16: {0, 5}, 17: {0, 1}, 18: {0, 4}, 19: {2, 7},
	20: {1, 6}, 21: {0, 2}, 22: {0, 5}, 23: {2, 4}, 29: {1, 3}, 30: {1, 3}, 31: {1, 3}, 32: {1, 4},
	33: {0, 2}, 34: {1, 2}, 35: {1, 5}, 36: {0, 2}, 37: {0, 3}, 38: {1, 3}, 39: {1, 2}, 40: {1, 2},
	41: {1, 3}, 42: {0, 2}, 43: {0, 2}, 44: {0, 1}, 45: {0, 1}, 46: {0, 0}, 47: {0, 0}, 48: {0, 1}, 49: {0, 1}, 50: {0, 0},
	51: {0, 0}, 55: {0, 2}, 57: {0, 2}, 60: {0, 2}, 61: {0, 0}, 64: {0, 0}, 65: {0, 0}, 66: {0, 2}, 68: {0, 1}, 69: {0, 1},
	74: {0, 1}, 75: {0, 0}, 80: {0, 1}, 81: {0, 0},
}
