package differential

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/target"
	"ottla/interop/wire"
)

// Answer is a broker's answer to one request of one case.
type Answer struct {
	Case    string // SCRIPT/CASE
	API     string // empty for raw bytes
	Version int16
	Lines   []Line
}

// unknownID is a topic id that no topic has.
var unknownID = [16]byte{0xde, 0xad, 0xbe, 0xef, 0xde, 0xad, 0xbe, 0xef, 0xde, 0xad, 0xbe, 0xef, 0xde, 0xad, 0xbe, 0xef}

func encodeID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// session runs one script against one broker.
type session struct {
	broker  *target.Broker
	conn    *wire.Conn
	names   *names
	vars    map[string]string
	ids     map[string][16]byte
	last    *printer
	version int16
	dirty   bool // metadata changed since the last settle
	answers []Answer
	script  string
	timed   bool
	try     int
	begun   map[string]*begun
}

// Run sends every request of a script and returns the answers in order. try is
// the number of the run against this broker.
func Run(b *target.Broker, s *Script, try int) ([]Answer, error) {
	_, port, err := net.SplitHostPort(b.Addr)
	if err != nil {
		return nil, err
	}
	ses := &session{
		broker: b,
		names: &names{
			addr: b.Addr, port: port, dir: b.Dir,
			topics: make(map[[16]byte]string), kept: make(map[string]string),
		},
		vars:   make(map[string]string),
		ids:    make(map[string][16]byte),
		script: s.Name,
		timed:  s.Timed,
		try:    try,
		begun:  make(map[string]*begun),
	}
	defer ses.end()
	for _, step := range s.Steps {
		if err := ses.step(step); err != nil {
			return ses.answers, fmt.Errorf("%s.txt:%d: %w", s.Name, step.Line, err)
		}
	}
	return ses.answers, nil
}

func (s *session) hangUp() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

func (s *session) end() {
	s.hangUp()
	for _, b := range s.begun {
		b.conn.Close()
	}
}

func (s *session) connect() error {
	if s.conn != nil {
		return nil
	}
	var err error
	s.conn, err = wire.Dial(s.broker.Addr)
	return err
}

func (s *session) step(step Step) error {
	switch step.Verb {
	case "connect":
		s.hangUp()
		return nil
	case "mask":
		s.names.masks = append(s.names.masks, step.Case)
		return nil
	case "keep":
		return s.keep(step.Case, step.Text)
	case "frame", "bytes":
		return s.raw(step)
	case "begin":
		return s.begin(step)
	case "end":
		return s.await(step)
	}
	for _, v := range step.Versions {
		if err := s.send(step, v); err != nil {
			return fmt.Errorf("v%d: %w", v, err)
		}
	}
	return nil
}

func (s *session) keep(name, path string) error {
	if s.last == nil {
		return errors.New("nothing was answered yet")
	}
	value, ok := s.last.raw[path]
	if !ok {
		return fmt.Errorf("the last answer has nothing at %s:\n%s", path, text(s.last.lines))
	}
	s.vars[name] = value
	s.names.kept[value] = "$" + name
	return nil
}

func (s *session) send(step Step, version int16) error {
	if err := s.connect(); err != nil {
		return err
	}
	req, err := s.build(step, version)
	if err != nil {
		return err
	}
	answer, took, err := s.request(req)
	s.names.now = time.Now()
	return s.answered(step, req, answer, took, err)
}

// build makes a request with the values from earlier answers.
func (s *session) build(step Step, version int16) (kmsg.Request, error) {
	req := kmsg.RequestForKey(step.Key)
	if d, ok := req.(interface{ Default() }); ok {
		d.Default()
	}
	s.version = version
	if err := fill(req, step.Text, s); err != nil {
		return nil, err
	}
	req.SetVersion(version)
	if !controllerOnly[step.API] {
		if err := s.settle(); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// answered records an answer, or that the broker closed the connection.
func (s *session) answered(step Step, req kmsg.Request, answer wire.Answer, took time.Duration, err error) error {
	switch {
	case errors.Is(err, wire.ErrClosed):
		s.hangUp()
		s.last = &printer{lines: []Line{{"", "connection closed"}}}
	case err != nil:
		return err
	default:
		s.dirty = s.dirty || mutates(req, answer.Response)
		s.learn(answer.Response)
		s.last = show(answer, s.names)
	}
	if s.timed {
		s.last.note(answeredPath, when(took))
	}
	s.record(step, s.version)
	return nil
}

// loadLimit is the limit of the wait for a coordinator that is not ready.
const loadLimit = 10 * time.Second

// request retries a request that a broker refuses because it has just started.
// Kafka fetches its first block of producer ids at the first request for one,
// and also creates the topic of a coordinator only then.
func (s *session) request(req kmsg.Request) (wire.Answer, time.Duration, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(loadLimit); ; <-tick.C {
		began := time.Now()
		answer, err := s.conn.Request(req)
		took := time.Since(began)
		if err != nil || time.Now().After(deadline) {
			return answer, took, err
		}
		if !comesAgain(reflect.ValueOf(answer.Response)) {
			return answer, took, nil
		}
	}
}

// comesAgain reports whether an answer contains an error that its coordinator
// is not available yet.
func comesAgain(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && comesAgain(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			if comesAgain(v.Index(i)) {
				return true
			}
		}
	case reflect.Struct:
		if code := v.FieldByName("ErrorCode"); code.IsValid() && code.Kind() == reflect.Int16 {
			switch int16(code.Int()) {
			case kerr.CoordinatorLoadInProgress.Code, kerr.CoordinatorNotAvailable.Code, kerr.NotCoordinator.Code:
				return true
			}
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && comesAgain(v.Field(i)) {
				return true
			}
		}
	}
	return false
}

func (s *session) record(step Step, version int16) {
	s.answers = append(s.answers, Answer{
		Case: s.script + "/" + step.Case, API: step.API, Version: version, Lines: s.last.lines,
	})
}

// raw sends bytes that may not be a valid request. It prints the answer as far
// as possible. Then a probe shows whether the connection still works.
func (s *session) raw(step Step) error {
	s.hangUp()
	if err := s.connect(); err != nil {
		return err
	}
	raw, err := assemble(step.Text)
	if err != nil {
		return err
	}
	write := s.conn.WriteFrame
	if step.Verb == "bytes" {
		write = s.conn.WriteRaw
	}
	s.last = &printer{}
	if err := write(raw); err == nil {
		s.probe()
	} else {
		s.last.note("", "connection closed")
	}
	s.hangUp()
	s.record(step, 0)
	return nil
}

// probeID is the correlation id of the ApiVersions v0 request that follows raw
// bytes.
const probeID = 77777777

func (s *session) probe() {
	probe, err := assemble("i16:18 i16:0 i32:" + strconv.Itoa(probeID) + " str:probe")
	if err == nil {
		err = s.conn.WriteFrame(probe)
	}
	for n := 0; err == nil; n++ {
		var frame []byte
		if frame, err = s.conn.ReadFrame(); err != nil {
			break
		}
		if strings.HasPrefix(string(frame), "\x04\xa2\xcb\x71") {
			s.last.note("", "connection lives")
			return
		}
		s.last.note(fmt.Sprintf("answer[%d]", n), summary(frame))
	}
	s.last.note("", "connection closed")
}

// summary prints a short answer completely. Of a long one it prints the part
// that distinguishes an error from a list: the correlation id and the two bytes
// after it.
func summary(frame []byte) string {
	const short = 24
	if len(frame) <= short {
		return hex.EncodeToString(frame)
	}
	return fmt.Sprintf("%x…", frame[:6])
}

// note adds a line that is not a field of an answer.
func (p *printer) note(path, value string) { p.lines = append(p.lines, Line{path, value}) }

func (s *session) variable(name string) (string, bool) {
	switch name {
	case "v":
		return "v" + strconv.Itoa(int(s.version)), true
	case "try":
		return strconv.Itoa(s.try), true
	}
	value, ok := s.vars[name]
	return value, ok
}

// text joins lines for reading: the fields of one struct are on one line.
func text(lines []Line) string {
	var out strings.Builder
	parent := "none yet"
	for _, l := range lines {
		dot := strings.LastIndex(l.Path, ".")
		if strings.HasSuffix(l.Path, "]") {
			dot = len(l.Path)
		}
		in, field := l.Path[:max(dot, 0)], strings.TrimPrefix(l.Path[max(dot, 0):], ".")
		if in != parent {
			fmt.Fprintf(&out, "\n    %s", in)
			parent = in
		}
		if in != "" || !strings.HasSuffix(out.String(), "    ") {
			out.WriteString(" ")
		}
		out.WriteString(strings.TrimPrefix(field+"="+l.Value, "="))
	}
	return strings.TrimPrefix(out.String(), "\n") + "\n"
}
