package api

import (
	"context"
	"errors"
	"reflect"
	"runtime/metrics"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// FuzzHandle hands every API the bodies that clients may send, on a real node:
// nothing panics, what is refused closes the connection as malformed, what is
// answered parses, and neither the answer nor the memory it takes is out of
// proportion to what arrived.
func FuzzHandle(f *testing.F) {
	table := Table()
	for i, e := range table {
		for _, version := range []int16{e.Min, e.Max} {
			req := protocol.NewRequest(e.Key, version)
			f.Add(uint8(i), version-e.Min, req.AppendTo(nil))
			fill(reflect.ValueOf(req).Elem())
			req.SetVersion(version)
			if p, ok := req.(*kmsg.ProduceRequest); ok {
				p.TransactionID, p.Acks = nil, -1
				p.Topics[0].Partitions[0].Records = batch("v")
			}
			f.Add(uint8(i), version-e.Min, req.AppendTo(nil))
		}
	}
	var x *fixture
	var node *outliving
	runs := 0
	stop := func() {
		if node != nil {
			node.stop()
		}
	}
	f.Cleanup(stop)
	f.Fuzz(func(t *testing.T, which uint8, version int16, body []byte) {
		e := &table[int(which)%len(table)]
		version = e.Min + int16(uint16(version)%uint16(e.Max-e.Min+1))
		if len(body) > 16<<10 {
			return
		}
		// A fresh node when the old one has grown, or lost what the seeds name.
		if runs++; x == nil || runs%1000 == 0 || x.controller.Image().NumTopics() > 100 || x.controller.Image().TopicByName("a") == nil {
			stop()
			node = &outliving{TB: t}
			x = newFixture(node, map[string]string{"ottla.durability": "page-cache"})
			x.topic("a", 2)
			x.h.Controller = modest{x.controller}
		}
		x.TB = t
		x.fuzz(e, version, body)
	})
}

// outliving is the test of a node that outlives it.
type outliving struct {
	testing.TB
	cleanups []func()
}

func (o *outliving) Cleanup(f func()) { o.cleanups = append(o.cleanups, f) }

func (o *outliving) stop() {
	for _, f := range o.cleanups {
		f()
	}
	o.cleanups = nil
}

// fuzz handles one body.
func (x *fixture) fuzz(e *Endpoint, version int16, body []byte) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if e.Name == "Fetch" {
		cancel() // it does not wait then
	}
	r := &Request{
		Header: protocol.RequestHeader{Key: e.Key, Version: version, CorrelationID: 7, ClientID: x.clientID},
		Body:   append([]byte(nil), body...), Listener: x.listener, Principal: Anonymous, Session: x.session,
	}
	r.Meter = meter.New(ctx, mostAnswer, nil)
	before := allocated()
	reply, err := e.Handle(x.h, ctx, r)
	if err != nil {
		if !errors.Is(err, protocol.ErrMalformed) && !errors.Is(err, meter.ErrTooLarge) {
			x.Errorf("%s %d: %v", e.Name, version, err)
		}
		x.proportionate(e, body, nil, before)
		return
	}
	request := protocol.NewRequest(e.Key, version)
	answer, err := (&flight{x, request, reply}).end()
	if err != nil && !reply.None {
		x.Errorf("%s %d: %v", e.Name, version, err)
	}
	x.proportionate(e, body, answer, before)
	if !reply.None {
		x.decode(request, answer)
	}
}

// proportionate compares what a body made with its size.
func (x *fixture) proportionate(e *Endpoint, body, answer []byte, before uint64) {
	proportion := 1<<20 + 64*len(body)
	if e.Name == "DescribeConfigs" {
		proportion += mostAnswer
	}
	if len(answer) > proportion {
		x.Errorf("%s: a body of %d bytes is answered with %d", e.Name, len(body), len(answer))
	}
	most := uint64(4<<20 + (protocol.Amplification(e.Key)+64)*len(body) + 32*len(answer))
	if took := allocated() - before; took > most {
		x.Errorf("%s: a body of %d bytes, an answer of %d: %d bytes were allocated, at most %d", e.Name, len(body), len(answer), took, most)
	}
}

// allocated is how many bytes the process has ever taken from the heap.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// modest keeps a fuzzer's cluster small: how much the controller allows is not
// the subject.
type modest struct{ Controller }

func (m modest) CreateTopics(ctx context.Context, req *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
	req.Topics = req.Topics[:min(len(req.Topics), 3)]
	for i := range req.Topics {
		t := &req.Topics[i]
		t.NumPartitions = min(t.NumPartitions, 4)
		t.ReplicaAssignment = t.ReplicaAssignment[:min(len(t.ReplicaAssignment), 4)]
	}
	return m.Controller.CreateTopics(ctx, req)
}

func (m modest) CreatePartitions(ctx context.Context, req *kmsg.CreatePartitionsRequest) *kmsg.CreatePartitionsResponse {
	req.Topics = req.Topics[:min(len(req.Topics), 3)]
	for i := range req.Topics {
		req.Topics[i].Count = min(req.Topics[i].Count, 6)
	}
	return m.Controller.CreatePartitions(ctx, req)
}

func (m modest) UnregisterBroker(ctx context.Context, req *kmsg.UnregisterBrokerRequest) *kmsg.UnregisterBrokerResponse {
	if req.BrokerID == 1 {
		req.BrokerID = 2 // the node itself stays
	}
	return m.Controller.UnregisterBroker(ctx, req)
}

// fill gives every field of a message a value that means something on a node
// with the topic a: names are a, numbers 1, lists have one element.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Version" && v.Field(i).CanSet() {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("a")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(1)
	}
}
