package controller

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write what the stories say now into testdata")

// allFeatures is long, and the same in every registration.
var allFeatures = regexp.MustCompile(`Features=\[(\{[^}]*\} ?){7}\]`)

// TestStories plays the scripts of testdata and compares what they bring about.
// A script is commands, each followed by the records that it led to and the
// reply, until an empty line:
//
//	node set=…              a controller of node 1, not active yet
//	lead                    its node becomes the leader
//	register ID N [dirs=…]  the Nth incarnation of a broker registers
//	beat ID [stop] [fence] [offset=N]  a heartbeat, by default of a broker that
//	                        has applied everything
//	closed ID               the broker's connection is closed
//	show                    topics and brokers
//	API {json}              any other request, in kmsg's field names; "id:NAME"
//	                        is an id that the story has named
//
// `go test -run Stories -rewrite` writes the scripts anew; read the diff.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := (&storyteller{t: t}).play(string(want))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s tells another story now:\n%s", file, firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\ngot  %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

type storyteller struct {
	t      *testing.T
	c      *Controller
	q      *quorum
	epochs map[int32]int64
	names  map[string]string // text of ids → what to call them
	seen   int64             // offset that was told of
	told   bytes.Buffer
}

func (s *storyteller) play(script string) string {
	s.epochs, s.names = map[int32]int64{}, map[string]string{}
	skip := false
	for _, line := range strings.Split(script, "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
			fmt.Fprintln(&s.told, line)
		case line == "":
			if skip {
				fmt.Fprintln(&s.told)
			}
			skip = false
		case !skip:
			fmt.Fprintln(&s.told, line)
			s.command(line)
			skip = true
		}
	}
	return s.told.String()
}

func (s *storyteller) command(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	words := strings.Fields(rest)
	var reply any
	switch verb {
	case "node":
		s.c, s.q = newController(s.t, words...)
		s.seen = -1
		return
	case "lead":
		s.q.lead()
		s.c.background.Wait()
	case "register":
		reply = s.register(words)
	case "beat":
		reply = s.beat(words)
	case "closed":
		s.c.BrokerDisconnected(s.number(words[0]), s.epochs[s.number(words[0])])
	case "show":
		s.show()
		return
	default:
		reply = s.request(verb, rest)
	}
	s.tell(reply)
}

func (s *storyteller) number(word string) int32 {
	n, err := strconv.Atoi(word)
	if err != nil {
		s.t.Fatal(err)
	}
	return int32(n)
}

func (s *storyteller) name(id metadata.UUID, name string) { s.names[metadata.FormatUUID(id)] = name }

func (s *storyteller) register(words []string) any {
	id, incarnation := s.number(words[0]), s.number(words[1])
	req := registration(id, byte(incarnation))
	s.name(req.IncarnationID, fmt.Sprintf("incarnation-%d.%d", id, incarnation))
	s.name(req.LogDirs[0], fmt.Sprintf("dir-%d", id))
	for _, w := range words[2:] {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "dirs":
			req.LogDirs = nil
			for _, d := range strings.Split(value, ",") {
				dir := uuid(0xd, byte(s.number(d)))
				s.name(dir, "dir-"+d)
				req.LogDirs = append(req.LogDirs, dir)
			}
		case "rack":
			req.Rack = &value
		case "clean":
			req.PreviousBrokerEpoch = s.epochs[id]
		}
	}
	resp := s.c.RegisterBroker(context.Background(), req)
	if resp.ErrorCode == 0 {
		s.epochs[id] = resp.BrokerEpoch
	}
	return resp
}

func (s *storyteller) beat(words []string) any {
	id := s.number(words[0])
	req := kmsg.NewPtrBrokerHeartbeatRequest()
	req.Version = 1
	req.BrokerID, req.BrokerEpoch, req.CurrentMetadataOffset = id, s.epochs[id], s.c.Image().Offset
	for _, w := range words[1:] {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "stop":
			req.WantShutdown = true
		case "fence":
			req.WantFence = true
		case "offset":
			req.CurrentMetadataOffset = int64(s.number(value))
		case "lost":
			req.OfflineLogDirs = [][16]byte{uuid(0xd, byte(s.number(value)))}
		}
	}
	return s.c.BrokerHeartbeat(context.Background(), req)
}

// request calls the method that is named like the API.
func (s *storyteller) request(api, body string) any {
	method := reflect.ValueOf(s.c).MethodByName(api)
	if !method.IsValid() {
		s.t.Fatalf("no request %q", api)
	}
	req := reflect.New(method.Type().In(1).Elem())
	req.MethodByName("Default").Call(nil)
	if f := req.Elem().FieldByName("TimeoutMillis"); f.IsValid() {
		f.SetInt(10_000)
	}
	req.MethodByName("SetVersion").Call([]reflect.Value{reflect.ValueOf(req.Interface().(kmsg.Request).MaxVersion())})
	for id, name := range s.names {
		u, err := metadata.ParseUUID(id)
		if err != nil {
			s.t.Fatal(err)
		}
		bytes := strings.ReplaceAll(fmt.Sprint(u), " ", ",")
		body = strings.ReplaceAll(body, `"id:`+name+`"`, bytes)
	}
	fromJSON(s.t, req.Interface(), body)
	return method.Call([]reflect.Value{reflect.ValueOf(context.Background()), req})[0].Interface()
}

// tell writes the new records and the reply.
func (s *storyteller) tell(reply any) {
	for _, b := range s.q.log {
		for i, m := range b.Records {
			if t, ok := m.(*metadata.TopicRecord); ok {
				s.name(t.TopicID, "id-of-"+t.Name)
			}
			if offset := b.BaseOffset + int64(i); offset > s.seen {
				s.line("%3d  %s", offset, metadata.Format(m))
			}
		}
	}
	s.seen = s.q.end - 1
	if reply != nil {
		for _, l := range replyLines(reflect.ValueOf(reply).Elem()) {
			s.line("<-  %s", l)
		}
	}
}

func (s *storyteller) line(format string, args ...any) {
	line := allFeatures.ReplaceAllString(fmt.Sprintf(format, args...), "Features=all")
	for id, name := range s.names {
		line = strings.ReplaceAll(line, id, name)
	}
	fmt.Fprintln(&s.told, strings.TrimRight(line, " "))
}

func (s *storyteller) show() {
	img := s.c.Image()
	for b := range img.Brokers() {
		s.line("broker %d epoch %d fenced=%v shutting down=%v", b.ID, b.Epoch, b.Fenced, b.InControlledShutdown)
	}
	for t := range img.Topics() {
		for p := range t.Partitions() {
			s.line("%s-%d leader=%d epoch=%d.%d replicas=%v isr=%v elr=%v last=%v recovering=%v", t.Name, p.ID, p.Leader, p.LeaderEpoch,
				p.PartitionEpoch, p.Replicas, p.ISR, p.ELR, p.LastKnownELR, p.Recovering)
		}
	}
	if err := checkInvariants(img); err != nil {
		s.t.Error(err)
	}
}

// replyLines prints a response: its own fields on the first line, each element
// of a list on one of its own.
func replyLines(v reflect.Value) (lines []string) {
	var own []string
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Name, v.Field(i)
		switch {
		case name == "Version" || name == "UnknownTags" || name == "Configs" || f.IsZero() && name != "ErrorCode":
		case name == "ErrorCode":
			own = append(own, protocol.Code(f.Int()).Name())
		case f.Type() == reflect.TypeFor[metadata.UUID]():
			own = append(own, name+"="+metadata.FormatUUID(f.Interface().(metadata.UUID)))
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			for j := range f.Len() {
				for _, l := range replyLines(f.Index(j)) {
					lines = append(lines, "  "+l)
				}
			}
		case f.Kind() == reflect.Pointer:
			own = append(own, fmt.Sprintf("%s=%q", name, f.Elem()))
		default:
			own = append(own, fmt.Sprintf("%s=%v", name, f))
		}
	}
	return append([]string{strings.Join(own, " ")}, lines...)
}
