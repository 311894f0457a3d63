package api

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// The bounds for any one request, however it is filled.
const (
	// mostAnswer is the limit of the meter, as of a node with little memory.
	mostAnswer = 64 << 20
	// mostAllocated is what a request of a megabyte may allocate in all: decoding (by
	// protocol.Amplification), the answer, and its encoding while the buffer grows.
	// The short form sends a sixteenth of that, and allows as much of it.
	mostAllocated = 10 * mostAnswer
	shortForm     = 16
	// mostCPU is ten times what the slowest takes. What grows with the square of
	// the request takes more.
	mostCPU = 6 * time.Second
)

// filling says how a request is filled to its frame cap. Elements of arrays are
// the same or differ, and either the outermost array or the innermost has them.
type filling struct {
	same, inner, null bool
	// hits names things that exist.
	hits bool
}

func (f filling) String() string {
	return fmt.Sprintf("same=%v,inner=%v,null=%v,hits=%v", f.same, f.inner, f.null, f.hits)
}

// TestEveryAPIIsBounded sends each API of the table, at its lowest and highest
// version, the largest requests that its frame cap allows, repetitive in several
// ways, to a node that has what they name. Memory, answer and CPU stay within
// bounds. A new row of the table is tested without being named here.
func TestEveryAPIIsBounded(t *testing.T) {
	most := 8 << 20
	if os.Getenv("OTTLA_TEST") != "long" {
		most = 1 << 20 / shortForm
	}
	story(t, map[string]string{"auto.create.topics.enable": "false", "offsets.topic.num.partitions": "4"}, func(t *testing.T, x *fixture) {
		populate(x)
		for _, e := range Table() {
			limit := most
			if e.MaxFrame > 0 {
				limit = min(most, int(e.MaxFrame))
			}
			for _, f := range []filling{{same: true, hits: true}, {same: true, inner: true, hits: true}, {inner: true, hits: true}, {same: true, hits: true, null: true}, {}, {inner: true}} {
				x.bounded(&e, fillTo(&e, e.Max, f, limit), f)
				x.bounded(&e, fillTo(&e, e.Min, f, limit/8), f)
			}
		}
	})
}

// populate makes what requests name: topics, groups with offsets and text, and a
// producer.
func populate(x *fixture) {
	create := kmsg.NewPtrCreateTopicsRequest()
	create.TimeoutMillis = 1000
	for _, name := range []string{hit(0), hit(1), hit(2)} {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 100, 1
		create.Topics = append(create.Topics, topic)
	}
	ask[*kmsg.CreateTopicsResponse](x, 5, create)
	ask[*kmsg.FindCoordinatorResponse](x, 4, &kmsg.FindCoordinatorRequest{CoordinatorKeys: []string{hit(0)}})
	text := strings.Repeat("m", 4000)
	for n := range 3 {
		commit := kmsg.NewPtrOffsetCommitRequest()
		commit.Group = hit(n)
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic = hit(0)
		for p := range int32(100) {
			partition := kmsg.NewOffsetCommitRequestTopicPartition()
			partition.Partition, partition.Metadata = p, &text
			topic.Partitions = append(topic.Partitions, partition)
		}
		commit.Topics = append(commit.Topics, topic)
		x.coordinated(commit.Group)
		if resp := ask[*kmsg.OffsetCommitResponse](x, 9, commit); resp.Topics[0].Partitions[0].ErrorCode != 0 {
			x.Fatalf("commit: %+v", resp.Topics[0].Partitions[0])
		}
	}
}

// hit is the name of the nth topic and of the nth group.
func hit(n int) string { return fmt.Sprintf("t%d", n%3) }

// bounded sends one request and holds what it causes to the bounds. An error,
// which closes the connection, is a fair answer.
func (x *fixture) bounded(e *Endpoint, req kmsg.Request, f filling) {
	x.Helper()
	what := fmt.Sprintf("%s %d, %v", e.Name, req.GetVersion(), f)
	r := x.request(req)
	r.Meter = meter.New(x.Context(), mostAnswer, nil)
	size := len(r.Body)
	before, cpu := allocated(), processCPU()
	reply, err := e.Handle(x.h, x.Context(), r)
	answer := 0
	if err == nil {
		flight := &flight{x, req, reply}
		var body []byte
		if body, err = flight.end(); err == nil {
			answer = len(body)
		}
	}
	used := processCPU() - cpu
	allowed := uint64(max(mostAllocated, 120*size))
	if size < 1<<20/shortForm*2 {
		allowed /= shortForm
	}
	if took := allocated() - before; took > allowed {
		x.Errorf("%s: a request of %d bytes allocates %d MiB", what, size, took>>20)
	}
	if answer > mostAnswer {
		x.Errorf("%s: a request of %d bytes is answered with %d MiB", what, size, answer>>20)
	}
	if used > mostCPU {
		x.Errorf("%s: a request of %d bytes takes %v of CPU", what, size, used)
	}
	if err != nil && !errors.Is(err, meter.ErrTooLarge) && !errors.Is(err, protocol.ErrMalformed) && err.Error() == "" {
		x.Errorf("%s: %v", what, err)
	}
}

// fillTo is the request of an API with so many elements that it just fits limit
// bytes.
func fillTo(e *Endpoint, version int16, f filling, limit int) kmsg.Request {
	filled := func(n int) kmsg.Request {
		req := protocol.NewRequest(e.Key, version)
		if req == nil {
			req = kmsg.RequestForKey(e.Key)
			req.SetVersion(version)
		}
		filler{filling: f, n: n}.fill(reflect.ValueOf(req).Elem(), "", 0, 0)
		return req
	}
	// The size is linear in the number of elements.
	const sample = 1000
	one, many := len(filled(1).AppendTo(nil)), len(filled(sample).AppendTo(nil))
	if many <= one {
		return filled(1)
	}
	return filled(min(limit, (limit-one)*9/10*(sample-1)/(many-one)))
}

// filler fills a request with n elements.
type filler struct {
	filling
	n int
}

// fill fills a value: depth is how many arrays are around it, index its place in
// the innermost.
func (f filler) fill(v reflect.Value, name string, index, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		f.fields(v, index, depth)
	case reflect.Slice:
		f.elements(v, name, depth)
	case reflect.Pointer:
		if !f.null {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), name, index, depth)
		}
	case reflect.String:
		v.SetString(f.text(name, index))
	case reflect.Int32, reflect.Int64:
		switch {
		case strings.Contains(name, "Timeout"), name == "Count", name == "Generation":
			v.SetInt(1000)
		case f.same:
			v.SetInt(0)
		default:
			v.SetInt(int64(index))
		}
	case reflect.Int8:
		v.SetInt(2) // a topic, where it is a kind of resource
	}
}

func (f filler) fields(v reflect.Value, index, depth int) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() || field.Name == "Version" || field.Type == reflect.TypeFor[kmsg.Tags]() {
			continue
		}
		f.fill(v.Field(i), field.Name, index, depth)
	}
}

// elements makes n elements where they are wanted, else one.
func (f filler) elements(v reflect.Value, name string, depth int) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		v.SetBytes([]byte{})
		return
	}
	nested := v.Type().Elem().Kind() == reflect.Struct && hasArray(v.Type().Elem())
	if f.null && !nested && f.inner {
		return
	}
	n := 1
	if f.inner && !nested || !f.inner && depth == 0 {
		n = f.n
	}
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := range n {
		f.fill(v.Index(i), name, i, depth+1)
	}
}

func hasArray(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i).Type; f.Kind() == reflect.Slice && f.Elem().Kind() != reflect.Uint8 {
			return true
		}
	}
	return false
}

func (f filler) text(name string, index int) string {
	switch {
	case name == "MemberID", name == "TransactionalIDPattern":
		return ""
	case f.hits && f.same:
		return hit(0)
	case f.hits:
		return hit(index)
	}
	return fmt.Sprintf("x%d", index)
}
