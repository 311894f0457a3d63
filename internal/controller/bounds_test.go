package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// What the controller does under its lock is linear in the request. Each of these
// takes a fraction of a second; with the square of the number it takes hours.
func TestRequestsAreLinear(t *testing.T) {
	const many = 300_000
	c, _ := oneNode(t)
	create(t, c, "t", 1)
	t.Run("config names", func(t *testing.T) {
		req := createRequest("a")
		value := "1"
		for i := range many {
			req.Topics[0].Configs = append(req.Topics[0].Configs, kmsg.CreateTopicsRequestTopicConfig{Name: fmt.Sprint("x", i), Value: &value})
		}
		r := c.CreateTopics(t.Context(), req).Topics[0]
		if protocol.Code(r.ErrorCode) != protocol.InvalidConfig {
			t.Errorf("%+v", r)
		}
	})
	t.Run("lists", func(t *testing.T) {
		var items []string
		for i := range many {
			items = append(items, fmt.Sprint(i))
		}
		list := changeList([]string{"a", "7", "7"}, append(items, items...), kmsg.IncrementalAlterConfigOpAppend)
		if len(list) != many+2 || list[3] != "0" {
			t.Errorf("%d items", len(list))
		}
		if list = changeList(list, items, kmsg.IncrementalAlterConfigOpSubtract); !slices.Equal(list, []string{"a", "7"}) {
			t.Errorf("%d items are left", len(list))
		}
	})
}

// Of topics that do not exist a few have their configs checked; for the others that
// they do not exist is enough.
func TestMissingTopicsAreCheap(t *testing.T) {
	c, _ := oneNode(t)
	value := "x" // of retention.ms: wrong
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for i := range mostMissing + 1 {
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, fmt.Sprint("t", i)
		r.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: &value}}
		req.Resources = append(req.Resources, r)
	}
	resp := c.IncrementalAlterConfigs(t.Context(), req)
	first, last := resp.Resources[mostMissing-1], resp.Resources[mostMissing]
	if protocol.Code(first.ErrorCode) != protocol.InvalidConfig || protocol.Code(last.ErrorCode) != protocol.UnknownTopicOrPartition {
		t.Errorf("%v, then %v", protocol.Code(first.ErrorCode), protocol.Code(last.ErrorCode))
	}
}

// A table of names and a scan find the same collisions.
func TestCollisionsOfMany(t *testing.T) {
	c, _ := oneNode(t)
	create(t, c, "a.b", 1)
	create(t, c, "a_c_d", 1)
	table := collisions(c.Image(), make([]*kmsg.CreateTopicsRequestTopic, manyNames))
	for _, name := range []string{"a.b", "a_b", "a.c_d", "a_c.d", "a.c.d", "a.d", "ab", "a"} {
		if one, many := collisionOf(c.Image(), name), table(name); one != many {
			t.Errorf("%s collides with %q, and among many with %q", name, one, many)
		}
	}
}

// A decision over many elements asks before each whether somebody still waits for
// it, and proposes nothing when nobody does.
func TestDecisionsGiveUp(t *testing.T) {
	c, q := oneNode(t)
	create(t, c, "t", 1)
	req := createRequest("a", "b", "c", "d", "e")
	for asked := range 6 {
		v, left := c.view(), asked
		v.done = func() bool { left--; return left < 0 }
		records, _, err := createTopics(v, req)
		if gaveUp := errors.Is(err, protocol.RequestTimedOut); gaveUp != (asked < 5) || gaveUp && records != nil {
			t.Errorf("who leaves after %d topics: %v, %d records", asked, err, len(records))
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	before := len(q.log)
	if r := c.CreateTopics(gone, req).Topics[0]; protocol.Code(r.ErrorCode) != protocol.RequestTimedOut || len(q.log) != before {
		t.Errorf("who has left: %v, %d batches", protocol.Code(r.ErrorCode), len(q.log)-before)
	}
}

// Groups and subscriptions need not exist to have configs, so their number is
// bounded. Those that have configs can be altered, and topics as well.
func TestNamedResourcesAreBounded(t *testing.T) {
	c, _ := oneNode(t)
	create(t, c, "t", 1)
	alter := func(kind kmsg.ConfigResourceType, config, value string, names ...string) []kmsg.IncrementalAlterConfigsResponseResource {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		for _, name := range names {
			r := kmsg.NewIncrementalAlterConfigsRequestResource()
			r.ResourceType, r.ResourceName = kind, name
			r.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: config, Value: &value}}
			req.Resources = append(req.Resources, r)
		}
		return c.IncrementalAlterConfigs(t.Context(), req).Resources
	}
	const group = "consumer.session.timeout.ms"
	for from := 0; from < maxNamedResources; from += 5000 {
		var names []string
		for i := range 5000 {
			names = append(names, fmt.Sprint("g", from+i))
		}
		for _, r := range alter(32, group, "45000", names...) {
			if r.ErrorCode != 0 {
				t.Fatalf("%s: %v", r.ResourceName, deref(r.ErrorMessage))
			}
		}
	}
	if r := alter(32, group, "45000", "more")[0]; protocol.Code(r.ErrorCode) != protocol.PolicyViolation || !strings.Contains(deref(r.ErrorMessage), "10000") {
		t.Errorf("one group too many: %v %s", protocol.Code(r.ErrorCode), deref(r.ErrorMessage))
	}
	if len(c.Image().Configs(metadata.ResourceGroup, "more")) != 0 {
		t.Error("it has configs")
	}
	for _, r := range []kmsg.IncrementalAlterConfigsResponseResource{
		alter(32, group, "46000", "g7")[0], alter(kmsg.ConfigResourceTypeTopic, "retention.ms", "5", "t")[0], alter(16, "interval.ms", "1000", "s")[0],
	} {
		if r.ErrorCode != 0 {
			t.Errorf("%s: %s", r.ResourceName, deref(r.ErrorMessage))
		}
	}
}

// The patterns of clients are regular expressions: they are bounded, and checked
// before the controller's lock is taken.
func TestClientPatternsAreBounded(t *testing.T) {
	c, _ := oneNode(t)
	const good = "client_id=a.*"
	values := []string{good, good, "client_id=(", "client_id=" + strings.Repeat(".?", 5000), `client_id=a{1000}b{1000}` + strings.Repeat(`(c{900})?`, 10), "x"}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for i, value := range values {
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = 16, fmt.Sprint(i)
		r.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: matchKey, Value: &value}}
		req.Resources = append(req.Resources, r)
	}
	for i, r := range c.IncrementalAlterConfigs(t.Context(), req).Resources {
		if refused := protocol.Code(r.ErrorCode) == protocol.InvalidConfig; refused != (i > 1) {
			t.Errorf("%.30s: %v", values[i], protocol.Code(r.ErrorCode))
		}
	}
	all := incrementalAlterations(req)
	checked := checkMatches(t.Context(), all)
	if len(checked) != len(values)-1 || checked[good] != nil {
		t.Errorf("checked before the lock: %v", checked)
	}
	v := c.view()
	v.checked = map[string]error{good: protocol.PolicyViolation}
	if _, resp, err := incrementalAlterConfigs(v, req, all); err != nil || protocol.Code(resp.Resources[0].ErrorCode) != protocol.PolicyViolation {
		t.Errorf("checked again under the lock: %v %v", resp.Resources[0].ErrorCode, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if checked := checkMatches(gone, all); len(checked) != 0 {
		t.Errorf("checked for nobody: %v", checked)
	}
}
