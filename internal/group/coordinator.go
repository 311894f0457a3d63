package group

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/meter"
	"ottla/internal/protocol"
	"ottla/internal/record"
	"ottla/internal/replica"
)

// Topic is the internal topic of groups and offsets.
const Topic = "__consumer_offsets"

// Options are what a Coordinator needs.
type Options struct {
	NodeID   int32
	Replicas *replica.Manager
	// Config is the broker's configuration in force.
	Config  func() *config.Broker
	Now     func() time.Time
	Elapsed func() time.Duration
	// Random is the source of member ids.
	Random *rand.Rand
	Codecs *record.Codecs
	Log    *slog.Logger
	// Code is the error code for what a shard did not answer: package api maps
	// errors.
	Code func(error) protocol.Code
}

// Coordinator answers the requests about groups: one method for each API,
// called by the handler of the same name.
//
//	func (c *Coordinator) JoinGroup(ctx context.Context, client Client, req *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
//		if req.Group == "" {
//			return …INVALID_GROUP_ID
//		}
//		resp, err := ask[*kmsg.JoinGroupResponse](ctx, c, req.Group, func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
//			return m.JoinGroup(at, to, client, req)
//		})
//		if err != nil {
//			return …int16(c.options.Code(err))
//		}
//		return resp
//	}
//
// It refuses what no group needs to be asked for, finds the shard, and fills the
// response when the shard did not: loading, not here, not written. The version is
// the request's own. What concerns several groups asks all shards at once. The
// bytes of a request alias a connection's buffer, which lives until the handler
// returns: a machine copies what it keeps.
type Coordinator struct {
	options Options
	runtime *coordinator.Runtime[*Machine]
	matcher *matcher
	mu      sync.Mutex
	// random is shared by the machines, each of which gets a source of its own.
	random *rand.Rand
	// ledgers are those of the machines, by partition.
	ledgers map[int32]*ledger
}

// NewCoordinator returns a coordinator that leads nothing; Follow tells it what.
func NewCoordinator(o Options) *Coordinator {
	c := &Coordinator{options: o, random: o.Random, ledgers: map[int32]*ledger{}, matcher: newMatcher()}
	c.runtime = coordinator.New(coordinator.Options[*Machine]{
		Topic: Topic, NodeID: o.NodeID, Open: coordinator.Replicas(o.Replicas, Topic), New: c.machine,
		Now: o.Now, Elapsed: o.Elapsed, Codecs: o.Codecs, Log: o.Log,
		Size: sizeOf, ParkedMost: c.parkedMost,
		Timeout:     func() time.Duration { return o.Config().Groups.CommitTimeout },
		Compression: func() record.Compression { return record.Compression(o.Config().Groups.OffsetsCompression) },
	})
	return c
}

func (c *Coordinator) machine(partition int32) *Machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := NewMachine(c.options.Config, rand.New(rand.NewPCG(c.random.Uint64(), c.random.Uint64())))
	m.kept.full = c.full
	c.ledgers[partition] = m.kept
	return m
}

// Follow takes a change of the committed metadata, after the replicas took it.
// It does not wait for anything.
func (c *Coordinator) Follow(img *metadata.Image, delta *metadata.Delta) {
	c.runtime.Follow(img, delta)
}

// Retry starts what found no room on its disk.
func (c *Coordinator) Retry() { c.runtime.Retry() }

// Close ends all groups here; whoever waits gets NOT_COORDINATOR.
func (c *Coordinator) Close() {
	c.matcher.close()
	c.runtime.Close()
}

// Partition is the partition of Topic that holds a group. Before the topic
// exists it is that of the topic as it will be.
func (c *Coordinator) Partition(group string) int32 {
	n := c.options.Config().Offsets.Partitions
	if t := c.runtime.Image().TopicByName(Topic); t != nil {
		n = int32(t.NumPartitions())
	}
	return partitionOf(group, n)
}

// partitionOf is Java's String.hashCode without its sign, modulo n.
func partitionOf(group string, n int32) int32 {
	var h int32
	for _, r := range group {
		if utf16.RuneLen(r) == 2 {
			high, low := utf16.EncodeRune(r)
			h = (31*h+high)*31 + low
			continue
		}
		h = 31*h + r
	}
	if h == math.MinInt32 {
		return 0
	}
	return max(h, -h) % n
}

// ask has the shard of a group decide a request.
func ask[R kmsg.Response](ctx context.Context, c *Coordinator, group string, step coordinator.Step[*Machine]) (R, error) {
	return wait[R](c.begin(ctx, group, step))
}

func (c *Coordinator) begin(ctx context.Context, group string, step coordinator.Step[*Machine]) *coordinator.Call[*Machine] {
	if len(group) > maxID {
		return coordinator.Refused[*Machine](protocol.InvalidGroupID)
	}
	return c.runtime.Begin(ctx, c.Partition(group), step)
}

// maxID is the length of the longest group id, member id, instance id and rack in
// bytes. Kafka takes 32,767.
const maxID = 1024

// errResponse says that a step answered a request with another's response.
var errResponse = errors.New("the group coordinator gave a response of another kind")

// inFlight is how many groups one request asks for at once.
const inFlight = 64

// askEach has the shards of n groups decide, a few at a time, and hands on the
// answers in order. begin may return nil for one that needs no shard. It ends
// when the meter of the request fails.
func askEach[R kmsg.Response](bill *meter.Meter, n int, begin func(int) *coordinator.Call[*Machine], take func(int, R, error)) {
	calls := make([]*coordinator.Call[*Machine], min(n, inFlight))
	for start := 0; start < n; start += len(calls) {
		calls = calls[:min(len(calls), n-start)]
		for i := range calls {
			calls[i] = begin(start + i)
		}
		for i, call := range calls {
			var answer R
			var err error
			if call != nil {
				answer, err = wait[R](call)
			}
			take(start+i, answer, err)
		}
		if bill.Pay() != nil {
			return
		}
	}
}

func wait[R kmsg.Response](call *coordinator.Call[*Machine]) (R, error) {
	var none R
	response, err := call.Wait()
	if err != nil {
		return none, err
	}
	typed, ok := response.(R)
	if !ok {
		return none, errResponse
	}
	return typed, nil
}

// OffsetCommit answers OffsetCommit, versions 2–10. Topics and partitions that
// do not exist are refused without asking the group, and stand first.
func (c *Coordinator) OffsetCommit(ctx context.Context, _ Client, req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	resp := kmsg.NewPtrOffsetCommitResponse()
	known := *req
	known.Topics = nil
	img := c.runtime.Image()
	for i := range req.Topics {
		if t, some := knownTopic(img, req.Version, &req.Topics[i], resp); some {
			known.Topics = append(known.Topics, t)
		}
	}
	if len(known.Topics) == 0 {
		return resp
	}
	answer, err := ask[*kmsg.OffsetCommitResponse](ctx, c, req.Group, func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
		return m.OffsetCommit(at, to, &known)
	})
	if err != nil {
		answer = failCommit(&known, c.options.Code(err))
	}
	if len(resp.Topics) == 0 {
		return answer
	}
	for _, t := range answer.Topics {
		same := func(o kmsg.OffsetCommitResponseTopic) bool { return o.Topic == t.Topic && o.TopicID == t.TopicID }
		if i := slices.IndexFunc(resp.Topics, same); i >= 0 {
			resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, t.Partitions...)
		} else {
			resp.Topics = append(resp.Topics, t)
		}
	}
	return resp
}

// knownTopic is what of a topic to commit exists, with name and id; the rest
// goes into resp with its error.
func knownTopic(img *metadata.Image, version int16, t *kmsg.OffsetCommitRequestTopic, resp *kmsg.OffsetCommitResponse) (known kmsg.OffsetCommitRequestTopic, some bool) {
	topic, code := img.TopicByName(t.Topic), protocol.UnknownTopicOrPartition
	if version >= 10 {
		topic, code = img.TopicByID(t.TopicID), protocol.UnknownTopicID
	}
	if topic == nil {
		resp.Topics = append(resp.Topics, failCommitTopic(t, code))
		return known, false
	}
	known.Topic, known.TopicID = topic.Name, topic.ID
	missing := known
	for _, p := range t.Partitions {
		if topic.Partition(p.Partition) != nil {
			known.Partitions = append(known.Partitions, p)
		} else {
			missing.Partitions = append(missing.Partitions, p)
		}
	}
	if len(missing.Partitions) > 0 {
		resp.Topics = append(resp.Topics, failCommitTopic(&missing, protocol.UnknownTopicOrPartition))
	}
	return known, len(known.Partitions) > 0
}

// OffsetFetch answers OffsetFetch, versions 1–10; the response is that of
// version 8 and later, which speaks of several groups.
//
// What it answers is charged to bill, which may be nil. Once that fails the
// response is cut short, and the request must not be answered with it.
func (c *Coordinator) OffsetFetch(ctx context.Context, bill *meter.Meter, req *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
	img := c.runtime.Image()
	resp := kmsg.NewPtrOffsetFetchResponse()
	unknown := make([][]kmsg.OffsetFetchResponseGroupTopic, len(req.Groups))
	begin := func(i int) *coordinator.Call[*Machine] {
		group := req.Groups[i]
		if req.Version >= 10 && group.Topics != nil {
			group.Topics, unknown[i] = namedTopics(img, group.Topics)
		}
		return c.begin(ctx, group.Group, func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
			return m.OffsetFetch(at, to, bill, &group, req.RequireStable)
		})
	}
	askEach(bill, len(req.Groups), begin, func(i int, answer *kmsg.OffsetFetchResponse, err error) {
		group := kmsg.NewOffsetFetchResponseGroup()
		if err != nil {
			group.Group, group.ErrorCode = req.Groups[i].Group, int16(c.fetchCode(err))
		} else if group = answer.Groups[0]; group.ErrorCode == 0 {
			group.Topics = append(group.Topics, unknown[i]...)
		}
		resp.Groups = append(resp.Groups, group)
	})
	return resp
}

// fetchCode is the code for an OffsetFetch that the shard did not answer.
// Consumers before 3.9 do not ask again after COORDINATOR_NOT_AVAILABLE; Kafka
// tells all NOT_COORDINATOR.
func (c *Coordinator) fetchCode(err error) protocol.Code {
	code := c.options.Code(err)
	if code == protocol.CoordinatorNotAvailable {
		return protocol.NotCoordinator
	}
	return code
}

// namedTopics gives topics that come with an id their names; those of an
// unknown id are answered.
func namedTopics(img *metadata.Image, topics []kmsg.OffsetFetchRequestGroupTopic) (known []kmsg.OffsetFetchRequestGroupTopic, unknown []kmsg.OffsetFetchResponseGroupTopic) {
	known = make([]kmsg.OffsetFetchRequestGroupTopic, 0, len(topics))
	for _, t := range topics {
		if topic := img.TopicByID(t.TopicID); topic != nil {
			t.Topic = topic.Name
			known = append(known, t)
			continue
		}
		answer := kmsg.NewOffsetFetchResponseGroupTopic()
		answer.TopicID = t.TopicID
		for _, p := range t.Partitions {
			answer.Partitions = append(answer.Partitions, noOffset(p, protocol.UnknownTopicID))
		}
		unknown = append(unknown, answer)
	}
	return known, unknown
}

// OffsetDelete answers OffsetDelete, version 0. Topics and partitions that do
// not exist are refused whatever the group says of the others, and stand first.
func (c *Coordinator) OffsetDelete(ctx context.Context, _ Client, req *kmsg.OffsetDeleteRequest) *kmsg.OffsetDeleteResponse {
	if req.Group == "" {
		return failDelete(protocol.InvalidGroupID)
	}
	resp := kmsg.NewPtrOffsetDeleteResponse()
	known := *req
	known.Topics = nil
	for i := range req.Topics {
		if t, some := c.deletable(&req.Topics[i], resp); some {
			known.Topics = append(known.Topics, t)
		}
	}
	answer, err := ask[*kmsg.OffsetDeleteResponse](ctx, c, req.Group, func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
		return m.OffsetDelete(at, to, &known)
	})
	switch {
	case err != nil:
		return failDelete(c.options.Code(err))
	case answer.ErrorCode != 0:
		return answer
	}
	for _, t := range answer.Topics {
		same := func(o kmsg.OffsetDeleteResponseTopic) bool { return o.Topic == t.Topic }
		if i := slices.IndexFunc(resp.Topics, same); i >= 0 {
			resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, t.Partitions...)
		} else {
			resp.Topics = append(resp.Topics, t)
		}
	}
	return resp
}

func failDelete(code protocol.Code) *kmsg.OffsetDeleteResponse {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	resp.ErrorCode = int16(code)
	return resp
}

// deletable is what of a topic exists; the rest goes into resp.
func (c *Coordinator) deletable(t *kmsg.OffsetDeleteRequestTopic, resp *kmsg.OffsetDeleteResponse) (known kmsg.OffsetDeleteRequestTopic, some bool) {
	known.Topic = t.Topic
	missing := kmsg.NewOffsetDeleteResponseTopic()
	missing.Topic = t.Topic
	topic := c.runtime.Image().TopicByName(t.Topic)
	for _, p := range t.Partitions {
		if topic != nil && topic.Partition(p.Partition) != nil {
			known.Partitions = append(known.Partitions, p)
			continue
		}
		missing.Partitions = append(missing.Partitions, kmsg.OffsetDeleteResponseTopicPartition{
			Partition: p.Partition, ErrorCode: int16(protocol.UnknownTopicOrPartition),
		})
	}
	if topic == nil || len(missing.Partitions) > 0 {
		resp.Topics = append(resp.Topics, missing)
	}
	return known, len(known.Partitions) > 0
}

// ListGroups answers ListGroups, versions 0–5: the groups of all shards, by id.
// One that loads fails the whole; one that went meanwhile is another node's.
// See OffsetFetch for bill.
func (c *Coordinator) ListGroups(ctx context.Context, bill *meter.Meter, req *kmsg.ListGroupsRequest) *kmsg.ListGroupsResponse {
	resp := kmsg.NewPtrListGroupsResponse()
	led := c.runtime.Led()
	begin := func(i int) *coordinator.Call[*Machine] {
		return c.runtime.Begin(ctx, led[i], func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
			return m.ListGroups(at, to, bill, req.StatesFilter, req.TypesFilter)
		})
	}
	askEach(bill, len(led), begin, func(_ int, answer *kmsg.ListGroupsResponse, err error) {
		switch {
		case err == nil:
			resp.Groups = append(resp.Groups, answer.Groups...)
		case c.options.Code(err) != protocol.NotCoordinator && resp.ErrorCode == 0:
			resp.ErrorCode = int16(c.options.Code(err))
		}
	})
	if resp.ErrorCode != 0 {
		resp.Groups = nil
	}
	slices.SortFunc(resp.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return cmp.Compare(a.Group, b.Group) })
	return resp
}

// DescribeGroups answers DescribeGroups, versions 0–6, in the order of the
// request. See OffsetFetch for bill.
func (c *Coordinator) DescribeGroups(ctx context.Context, bill *meter.Meter, req *kmsg.DescribeGroupsRequest) *kmsg.DescribeGroupsResponse {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	begin := func(i int) *coordinator.Call[*Machine] {
		return c.begin(ctx, req.Groups[i], func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
			return m.DescribeGroups(at, to, bill, req.Version, req.Groups[i])
		})
	}
	askEach(bill, len(req.Groups), begin, func(i int, answer *kmsg.DescribeGroupsResponse, err error) {
		if err == nil {
			resp.Groups = append(resp.Groups, answer.Groups...)
			return
		}
		group := kmsg.NewDescribeGroupsResponseGroup()
		group.Group, group.ErrorCode = req.Groups[i], int16(c.options.Code(err))
		resp.Groups = append(resp.Groups, group)
	})
	return resp
}

// DeleteGroups answers DeleteGroups, versions 0–2, each group once, in the order
// of the request. Each is deleted by itself.
func (c *Coordinator) DeleteGroups(ctx context.Context, bill *meter.Meter, req *kmsg.DeleteGroupsRequest) *kmsg.DeleteGroupsResponse {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	var ids []string
	seen := map[string]bool{}
	for _, id := range req.Groups {
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	begin := func(i int) *coordinator.Call[*Machine] {
		return c.begin(ctx, ids[i], func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
			return m.DeleteGroups(at, to, ids[i])
		})
	}
	askEach(bill, len(ids), begin, func(i int, answer *kmsg.DeleteGroupsResponse, err error) {
		if err == nil {
			resp.Groups = append(resp.Groups, answer.Groups...)
			return
		}
		group := kmsg.NewDeleteGroupsResponseGroup()
		group.Group, group.ErrorCode = ids[i], int16(c.options.Code(err))
		resp.Groups = append(resp.Groups, group)
	})
	return resp
}
