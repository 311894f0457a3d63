package controller

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/story"
)

// allFeatures is long, and the same in every registration.
var allFeatures = regexp.MustCompile(`Features=\[(\{[^}]*\} ?){7}\]`)

// TestStories plays the scripts of testdata. A command leads to records and a
// reply:
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
func TestStories(t *testing.T) {
	story.Play(t, "testdata/*.txt", func(t *testing.T, told *story.Told) func(story.Command) {
		s := &storyteller{t: t, epochs: map[int32]int64{}, names: map[string]string{}, told: told}
		told.Rename = s.rename
		return s.command
	})
}

type storyteller struct {
	t      *testing.T
	c      *Controller
	q      *quorum
	epochs map[int32]int64
	names  map[string]string // text of ids → what to call them
	seen   int64             // offset that was told of
	told   *story.Told
}

func (s *storyteller) command(c story.Command) {
	var reply any
	switch c.Verb {
	case "node":
		s.c, s.q = newController(s.t, strings.Fields(c.Rest)...)
		s.seen = -1
		return
	case "lead":
		s.q.lead()
		s.c.background.Wait()
	case "register":
		reply = s.register(c)
	case "beat":
		reply = s.beat(c)
	case "closed":
		id := s.id(c.Word(0))
		s.c.BrokerDisconnected(id, s.epochs[id])
	case "show":
		s.show()
		return
	default:
		reply = s.request(c.Verb, c.Rest)
	}
	s.tell(reply)
}

func (s *storyteller) id(word string) int32 { return int32(story.Number(s.t, word)) }

func (s *storyteller) name(id metadata.UUID, name string) { s.names[metadata.FormatUUID(id)] = name }

func (s *storyteller) register(c story.Command) any {
	id, incarnation := s.id(c.Word(0)), s.id(c.Word(1))
	req := registration(id, byte(incarnation))
	s.name(req.IncarnationID, fmt.Sprintf("incarnation-%d.%d", id, incarnation))
	s.name(req.LogDirs[0], fmt.Sprintf("dir-%d", id))
	if dirs, ok := c.Options["dirs"]; ok {
		req.LogDirs = nil
		for _, d := range strings.Split(dirs, ",") {
			dir := uuid(0xd, byte(story.Number(s.t, d)))
			s.name(dir, "dir-"+d)
			req.LogDirs = append(req.LogDirs, dir)
		}
	}
	req.Rack = c.Text("rack")
	if slices.Contains(c.Words, "clean") {
		req.PreviousBrokerEpoch = s.epochs[id]
	}
	resp := s.c.RegisterBroker(context.Background(), req)
	if resp.ErrorCode == 0 {
		s.epochs[id] = resp.BrokerEpoch
	}
	return resp
}

func (s *storyteller) beat(c story.Command) any {
	id := s.id(c.Word(0))
	req := kmsg.NewPtrBrokerHeartbeatRequest()
	req.Version = 1
	req.BrokerID, req.BrokerEpoch = id, s.epochs[id]
	req.CurrentMetadataOffset = int64(c.Number("offset", int(s.c.Image().Offset)))
	req.WantShutdown, req.WantFence = slices.Contains(c.Words, "stop"), slices.Contains(c.Words, "fence")
	if lost := c.Number("lost", 0); lost != 0 {
		req.OfflineLogDirs = [][16]byte{uuid(0xd, byte(lost))}
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
				s.told.Line("%3d  %s", offset, metadata.Format(m))
			}
		}
	}
	s.seen = s.q.end - 1
	if reply != nil {
		for _, l := range replyLines(reflect.ValueOf(reply).Elem()) {
			s.told.Line("<-  %s", l)
		}
	}
}

func (s *storyteller) rename(line string) string {
	line = allFeatures.ReplaceAllString(line, "Features=all")
	for id, name := range s.names {
		line = strings.ReplaceAll(line, id, name)
	}
	return line
}

func (s *storyteller) show() {
	img := s.c.Image()
	for b := range img.Brokers() {
		s.told.Line("broker %d epoch %d fenced=%v shutting down=%v", b.ID, b.Epoch, b.Fenced, b.InControlledShutdown)
	}
	for t := range img.Topics() {
		for p := range t.Partitions() {
			s.told.Line("%s-%d leader=%d epoch=%d.%d replicas=%v isr=%v elr=%v last=%v recovering=%v", t.Name, p.ID, p.Leader, p.LeaderEpoch,
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
