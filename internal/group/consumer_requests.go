package group

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// servesConsumers tells whether the protocol of KIP-848 is served: the cluster's
// group.version, and group.coordinator.rebalance.protocols, must have it.
func (c *Coordinator) servesConsumers() bool {
	return c.runtime.Image().Feature(metadata.FeatureGroupVersion) >= 1 && c.options.Config().ConsumerGroups.Enabled
}

// ConsumerGroupHeartbeat answers ConsumerGroupHeartbeat, versions 0–1.
func (c *Coordinator) ConsumerGroupHeartbeat(ctx context.Context, client Client, req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	fail := func(code protocol.Code, message *string) *kmsg.ConsumerGroupHeartbeatResponse {
		resp := newHeartbeatResponse(req)
		resp.ErrorCode, resp.ErrorMessage = int16(code), message
		return resp
	}
	if !c.servesConsumers() {
		return fail(protocol.UnsupportedVersion, nil)
	}
	if refused := checkHeartbeat(req, c.options.Config().ConsumerGroups.Assignors); refused != nil {
		return fail(refused.code, &refused.message)
	}
	resp, err := c.heartbeat(ctx, client, req)
	if err != nil {
		return fail(c.options.Code(err), nil)
	}
	return resp
}

// heartbeat has the shard decide a heartbeat, and matches the regular expressions
// that it lacks.
func (c *Coordinator) heartbeat(ctx context.Context, client Client, req *kmsg.ConsumerGroupHeartbeatRequest) (*kmsg.ConsumerGroupHeartbeatResponse, error) {
	decide := func(found *matches) (kmsg.Response, error) {
		return ask[kmsg.Response](ctx, c, req.Group, func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
			return m.ConsumerGroupHeartbeat(at, to, client, req, found)
		})
	}
	resp, err := decide(nil)
	if u, ok := resp.(*unresolved); ok && u.ConsumerGroupHeartbeatResponse == nil {
		var found *matches
		if found, err = c.matcher.match(ctx, u.image, u.exprs); err != nil {
			return nil, err
		}
		resp, err = decide(found)
	}
	if err != nil {
		return nil, err
	}
	switch r := resp.(type) {
	case *kmsg.ConsumerGroupHeartbeatResponse:
		return r, nil
	case *unresolved:
		c.matchLater(strings.Clone(req.Group), r)
		return r.ConsumerGroupHeartbeatResponse, nil
	}
	return nil, errResponse
}

// matchLater matches the regular expressions of a group for its next heartbeat.
func (c *Coordinator) matchLater(group string, u *unresolved) {
	c.matcher.later(func(ctx context.Context) {
		found, err := c.matcher.match(ctx, u.image, u.exprs)
		if err != nil {
			return // the node goes down
		}
		// An error means that the group is not here any more.
		_, _ = ask[kmsg.Response](ctx, c, group, func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
			m.regexesMatched(at, group, found)
			return coordinator.Answer(to, kmsg.NewPtrConsumerGroupHeartbeatResponse())
		})
	})
}

// ConsumerGroupDescribe answers ConsumerGroupDescribe, versions 0–1, in the
// order of the request. See OffsetFetch for bill.
func (c *Coordinator) ConsumerGroupDescribe(ctx context.Context, bill *meter.Meter, req *kmsg.ConsumerGroupDescribeRequest) *kmsg.ConsumerGroupDescribeResponse {
	resp := kmsg.NewPtrConsumerGroupDescribeResponse()
	resp.Version = req.Version
	fail := func(id string, code protocol.Code) {
		group := kmsg.NewConsumerGroupDescribeResponseGroup()
		group.Group, group.ErrorCode = id, int16(code)
		resp.Groups = append(resp.Groups, group)
	}
	serves := c.servesConsumers()
	begin := func(i int) *coordinator.Call[*Machine] {
		if req.Groups[i] == "" || !serves {
			return nil
		}
		return c.begin(ctx, req.Groups[i], func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
			return m.ConsumerGroupDescribe(at, to, bill, req.Groups[i])
		})
	}
	askEach(bill, len(req.Groups), begin, func(i int, answer *kmsg.ConsumerGroupDescribeResponse, err error) {
		switch {
		case !serves:
			fail(req.Groups[i], protocol.UnsupportedVersion)
		case req.Groups[i] == "":
			fail(req.Groups[i], protocol.InvalidGroupID)
		case err != nil:
			fail(req.Groups[i], c.options.Code(err))
		default:
			resp.Groups = append(resp.Groups, answer.Groups...)
		}
	})
	return resp
}
