package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

func createOf(name string, partitions int32, replication int16) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replication
	req.Topics = append(req.Topics, t)
	return req
}

// A topic that is created has its logs when the answer leaves, and one that was
// only validated does not.
func TestCreateTopicsInEachVersion(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.eachVersion(19, func(version int16) {
			name := fmt.Sprint("v", version)
			dry := createOf(name, 2, 1)
			dry.ValidateOnly = true
			if got := ask[*kmsg.CreateTopicsResponse](x, version, dry).Topics[0]; got.ErrorCode != 0 || x.exists("/data/"+name+"-0") {
				t.Errorf("version %d, validate only: %+v", version, got)
			}
			got := ask[*kmsg.CreateTopicsResponse](x, version, createOf(name, 2, 1)).Topics[0]
			if got.ErrorCode != 0 || got.Topic != name {
				t.Fatalf("version %d: %+v", version, got)
			}
			topic := x.h.Controller.Image().TopicByName(name)
			if version >= 5 && (got.NumPartitions != 2 || got.ReplicationFactor != 1 || len(got.Configs) == 0) || version >= 7 && got.TopicID != topic.ID {
				t.Errorf("version %d: %+v", version, got)
			}
			for p := range int32(2) {
				x.produce(name, p, batch("v"))
				if !x.exists(fmt.Sprintf("/data/%s-%d", name, p)) {
					t.Errorf("version %d: partition %d has no folder", version, p)
				}
			}
			again := ask[*kmsg.CreateTopicsResponse](x, version, createOf(name, 2, 1)).Topics[0]
			wantCode(t, "again", again.ErrorCode, protocol.TopicAlreadyExists)
			if deref(again.ErrorMessage) == "" {
				t.Errorf("version %d: no word why", version)
			}
		})
		defaults := ask[*kmsg.CreateTopicsResponse](x, 7, createOf("defaults", -1, -1)).Topics[0]
		if defaults.ErrorCode != 0 || defaults.NumPartitions != 2 || defaults.ReplicationFactor != 1 {
			t.Errorf("defaults: %+v", defaults)
		}
	})
}

// TestDeleteTopics deletes by name and, from version 6, by id. What it is named
// by is how it is answered; the data is gone for everybody.
func TestDeleteTopics(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.eachVersion(20, func(version int16) {
			for _, byID := range []bool{false, true} {
				if byID && version < 6 {
					continue
				}
				id := x.topic("t", 1)
				x.produce("t", 0, batch("v"))
				req := kmsg.NewPtrDeleteTopicsRequest()
				req.TimeoutMillis, req.TopicNames = 10_000, []string{"t"}
				one := kmsg.NewDeleteTopicsRequestTopic()
				one.Topic = ptr("t")
				if byID {
					one.Topic, one.TopicID = nil, id
				}
				req.Topics = append(req.Topics, one)
				resp := ask[*kmsg.DeleteTopicsResponse](x, version, req)
				if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != 0 || deref(resp.Topics[0].Topic) != "t" || version >= 6 && resp.Topics[0].TopicID != id {
					t.Errorf("version %d, by id %v: %+v", version, byID, resp.Topics)
				}
				if x.h.Storage.Log("t", 0) != nil || x.exists("/data/t-0") {
					t.Errorf("version %d: the log is still there", version)
				}
				if again := ask[*kmsg.DeleteTopicsResponse](x, version, req).Topics[0]; byID {
					wantCode(t, "again by id", again.ErrorCode, protocol.UnknownTopicID)
				} else {
					wantCode(t, "again", again.ErrorCode, protocol.UnknownTopicOrPartition)
				}
			}
		})
	})
}

func TestDeleteTopicsIsSwitchedOff(t *testing.T) {
	story(t, map[string]string{"delete.topic.enable": "false"}, func(t *testing.T, x *fixture) {
		x.topic("t", 1)
		x.eachVersion(20, func(version int16) {
			req := kmsg.NewPtrDeleteTopicsRequest()
			req.TimeoutMillis, req.TopicNames = 10_000, []string{"t"}
			one := kmsg.NewDeleteTopicsRequestTopic()
			one.Topic = ptr("t")
			req.Topics = append(req.Topics, one)
			want := protocol.TopicDeletionDisabled
			if version < 3 {
				want = protocol.InvalidRequest
			}
			wantCode(t, fmt.Sprint("version ", version), ask[*kmsg.DeleteTopicsResponse](x, version, req).Topics[0].ErrorCode, want)
		})
	})
}

func TestCreatePartitions(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("t", 1)
		count := int32(1)
		x.eachVersion(37, func(version int16) {
			send := func(name string, count int32, dry bool) kmsg.CreatePartitionsResponseTopic {
				req := kmsg.NewPtrCreatePartitionsRequest()
				req.TimeoutMillis, req.ValidateOnly = 10_000, dry
				topic := kmsg.NewCreatePartitionsRequestTopic()
				topic.Topic, topic.Count = name, count
				req.Topics = append(req.Topics, topic)
				return ask[*kmsg.CreatePartitionsResponse](x, version, req).Topics[0]
			}
			wantCode(t, "validate", send("t", count+1, true).ErrorCode, protocol.None)
			if x.h.Storage.Log("t", count) != nil {
				t.Errorf("version %d: validation made partition %d", version, count)
			}
			wantCode(t, "one more", send("t", count+1, false).ErrorCode, protocol.None)
			x.produce("t", count, batch("v"))
			count++
			wantCode(t, "as many", send("t", count, false).ErrorCode, protocol.InvalidPartitions)
			wantCode(t, "fewer", send("t", count-1, false).ErrorCode, protocol.InvalidPartitions)
			wantCode(t, "unknown", send("u", 3, false).ErrorCode, protocol.UnknownTopicOrPartition)
		})
	})
}

// TestDescribeTopicPartitionsPages walks through all topics, page by page, with
// every limit: each partition comes once, in order.
func TestDescribeTopicPartitionsPages(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		var all []string
		for _, topic := range []struct {
			name string
			n    int32
		}{{"a", 3}, {"b", 1}, {"c", 4}} {
			x.topic(topic.name, topic.n)
			for p := range topic.n {
				all = append(all, fmt.Sprint(topic.name, p))
			}
		}
		for limit := int32(1); limit <= 9; limit++ {
			for _, named := range []bool{true, false} {
				req := kmsg.NewPtrDescribeTopicPartitionsRequest()
				if named {
					req = describePartitionsOf("c", "a", "b", "a")
				}
				req.ResponsePartitionLimit = limit
				var got []string
				pages := 0
				for ; pages < 20; pages++ {
					resp := ask[*kmsg.DescribeTopicPartitionsResponse](x, 0, req)
					on := 0
					for _, topic := range resp.Topics {
						wantCode(t, *topic.Topic, topic.ErrorCode, protocol.None)
						for _, p := range topic.Partitions {
							got = append(got, fmt.Sprint(*topic.Topic, p.Partition))
							on++
							if p.LeaderID != 1 || len(p.Replicas) != 1 || p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil || p.ErrorCode != 0 {
								t.Errorf("%s %+v", *topic.Topic, p)
							}
						}
					}
					if on > int(limit) {
						t.Errorf("limit %d: a page of %d", limit, on)
					}
					if resp.NextCursor == nil {
						break
					}
					cursor := kmsg.NewDescribeTopicPartitionsRequestCursor()
					cursor.Topic, cursor.Partition = resp.NextCursor.Topic, resp.NextCursor.Partition
					req.Cursor = &cursor
				}
				if strings.Join(got, " ") != strings.Join(all, " ") {
					t.Errorf("limit %d, named %v: %v, want %v", limit, named, got, all)
				}
				if want := (len(all)+int(limit)-1)/int(limit) - 1; pages != want {
					t.Errorf("limit %d, named %v: %d pages, want %d", limit, named, pages+1, want+1)
				}
			}
		}
	})
}

func describePartitionsOf(names ...string) *kmsg.DescribeTopicPartitionsRequest {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 2000
	for _, name := range names {
		topic := kmsg.NewDescribeTopicPartitionsRequestTopic()
		topic.Topic = name
		req.Topics = append(req.Topics, topic)
	}
	return req
}

func TestDescribeTopicPartitions(t *testing.T) {
	story(t, map[string]string{"max.request.partition.size.limit": "3"}, func(t *testing.T, x *fixture) {
		x.topic("a", 2)
		x.topic("b", 4)
		x.topic("__consumer_offsets", 1)
		cursor := func(topic string, partition int32) *kmsg.DescribeTopicPartitionsRequestCursor {
			c := kmsg.NewDescribeTopicPartitionsRequestCursor()
			c.Topic, c.Partition = topic, partition
			return &c
		}
		for _, c := range []struct {
			name   string
			topics []string
			cursor *kmsg.DescribeTopicPartitionsRequestCursor
			limit  int32
			want   string // topic:partitions or topic:error, then > the cursor
		}{
			{"unknown and bad names", []string{"u", "a b", ""}, nil, 10, ":INVALID_TOPIC_EXCEPTION a b:INVALID_TOPIC_EXCEPTION u:UNKNOWN_TOPIC_OR_PARTITION"},
			{"the broker's limit", []string{"b"}, nil, 10, "b:0,1,2 >b 3"},
			{"a limit of nothing", []string{"b"}, nil, 0, "b:0 >b 1"},
			{"a negative limit", []string{"b"}, nil, -7, "b:0 >b 1"},
			{"a full page", []string{"a", "b"}, nil, 2, "a:0,1 >b 0"},
			{"from the middle", []string{"a", "b"}, cursor("b", 2), 10, "b:2,3"},
			{"from the end", []string{"b"}, cursor("b", 4), 10, "b:"},
			{"far beyond the end", []string{"b"}, cursor("b", 400), 10, "b:"},
			{"from a topic that is gone", []string{"a", "aa", "b"}, cursor("aa", 3), 10, "aa:UNKNOWN_TOPIC_OR_PARTITION b:0,1,2 >b 3"},
			{"all, from a topic that is gone", nil, cursor("aa", 3), 10, "b:0,1,2 >b 3"},
			{"a negative cursor", []string{"b"}, cursor("b", -1), 10, "b:INVALID_REQUEST"},
			{"a cursor at no topic of the request", []string{"b"}, cursor("a", 0), 10, "b:INVALID_REQUEST"},
		} {
			req := describePartitionsOf(c.topics...)
			req.ResponsePartitionLimit, req.Cursor = c.limit, c.cursor
			resp := ask[*kmsg.DescribeTopicPartitionsResponse](x, 0, req)
			var got []string
			for _, topic := range resp.Topics {
				var ids []string
				for _, p := range topic.Partitions {
					ids = append(ids, fmt.Sprint(p.Partition))
				}
				what := strings.Join(ids, ",")
				if topic.ErrorCode != 0 {
					what = protocol.Code(topic.ErrorCode).Name()
				}
				got = append(got, *topic.Topic+":"+what)
			}
			if resp.NextCursor != nil {
				got = append(got, fmt.Sprintf(">%s %d", resp.NextCursor.Topic, resp.NextCursor.Partition))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: %q, want %q", c.name, strings.Join(got, " "), c.want)
			}
		}
		for _, topic := range ask[*kmsg.DescribeTopicPartitionsResponse](x, 0, describePartitionsOf("a", "__consumer_offsets")).Topics {
			if topic.IsInternal != (*topic.Topic == "__consumer_offsets") || topic.AuthorizedOperations != 3576 || topic.TopicID == (metadata.UUID{}) {
				t.Errorf("%s: %+v", *topic.Topic, topic)
			}
		}
	})
}

// Only the controller's answer counts for these; they must come through in each
// version.
func TestPartitionAdministration(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("t", 2)
		x.eachVersion(43, func(version int16) {
			req := kmsg.NewPtrElectLeadersRequest()
			req.TimeoutMillis = 1000
			topic := kmsg.NewElectLeadersRequestTopic()
			topic.Topic, topic.Partitions = "t", []int32{0, 9}
			req.Topics = append(req.Topics, topic)
			got := ask[*kmsg.ElectLeadersResponse](x, version, req)
			wantCode(t, "preferred leads already", got.Topics[0].Partitions[0].ErrorCode, protocol.ElectionNotNeeded)
			wantCode(t, "unknown partition", got.Topics[0].Partitions[1].ErrorCode, protocol.UnknownTopicOrPartition)
		})
		x.eachVersion(45, func(version int16) {
			req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
			req.TimeoutMillis = 1000
			topic := kmsg.NewAlterPartitionAssignmentsRequestTopic()
			topic.Topic = "t"
			for _, replicas := range [][]int32{{7}, nil} {
				p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
				p.Partition, p.Replicas = int32(len(topic.Partitions)), replicas
				topic.Partitions = append(topic.Partitions, p)
			}
			req.Topics = append(req.Topics, topic)
			got := ask[*kmsg.AlterPartitionAssignmentsResponse](x, version, req).Topics[0].Partitions
			wantCode(t, "unknown broker", got[0].ErrorCode, protocol.InvalidReplicaAssignment)
			wantCode(t, "nothing to cancel", got[1].ErrorCode, protocol.NoReassignmentInProgress)
		})
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.TimeoutMillis = 1000
		if got := ask[*kmsg.ListPartitionReassignmentsResponse](x, 0, req); got.ErrorCode != 0 || len(got.Topics) > 0 {
			t.Errorf("reassignments: %+v", got)
		}
		gone := kmsg.NewPtrUnregisterBrokerRequest()
		gone.BrokerID = 44
		wantCode(t, "unregister", ask[*kmsg.UnregisterBrokerResponse](x, 0, gone).ErrorCode, protocol.BrokerIDNotRegistered)
	})
}

// Partitions that move are listed, of all topics or of those named.
func TestListPartitionReassignments(t *testing.T) {
	img := clusterOf(t)
	change := metadata.NewPartitionChangeRecord()
	change.TopicID, change.PartitionID = [16]byte{9}, 1
	change.Replicas, change.AddingReplicas, change.RemovingReplicas = []int32{3, 1, 2}, []int32{2}, []int32{3}
	img, _, err := img.Apply([]metadata.Message{change}, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	x := &fixture{TB: t, h: &Handler{Controller: imageOnly{image: img}}, session: &Session{}}
	for _, c := range []struct {
		name       string
		topic      string
		partitions []int32
		want       int
	}{
		{"all", "", nil, 1}, {"the one", "t", []int32{0, 1, 2}, 1}, {"others", "t", []int32{0, 99}, 0},
		{"of another topic", "u", []int32{1}, 0}, {"none of a topic", "t", []int32{}, 0},
	} {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		if c.topic != "" {
			topic := kmsg.NewListPartitionReassignmentsRequestTopic()
			topic.Topic, topic.Partitions = c.topic, c.partitions
			req.Topics = append(req.Topics, topic)
		}
		resp := ask[*kmsg.ListPartitionReassignmentsResponse](x, 0, req)
		if len(resp.Topics) != c.want {
			t.Errorf("%s: %+v", c.name, resp.Topics)
			continue
		}
		if c.want == 1 {
			p := resp.Topics[0].Partitions
			if len(p) != 1 || p[0].Partition != 1 || len(p[0].Replicas) != 3 || p[0].AddingReplicas[0] != 2 || p[0].RemovingReplicas[0] != 3 {
				t.Errorf("%s: %+v", c.name, p)
			}
		}
	}
}

func TestDescribeProducers(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		x.produce("a", 0, idempotent(21, 3, 0, "v", "w"))
		x.produce("a", 0, idempotent(20, 0, 5, "v"))
		req := kmsg.NewPtrDescribeProducersRequest()
		for _, name := range []string{"a", "u", "a b"} {
			topic := kmsg.NewDescribeProducersRequestTopic()
			topic.Topic, topic.Partitions = name, []int32{0, 7, 0}
			req.Topics = append(req.Topics, topic)
		}
		resp := ask[*kmsg.DescribeProducersResponse](x, 0, req)
		for i, want := range []struct {
			code  [2]protocol.Code
			words [2]bool
		}{
			{[2]protocol.Code{0, protocol.UnknownTopicOrPartition}, [2]bool{false, false}},
			{[2]protocol.Code{protocol.UnknownTopicOrPartition, protocol.UnknownTopicOrPartition}, [2]bool{true, true}},
			{[2]protocol.Code{protocol.InvalidTopicException, protocol.InvalidTopicException}, [2]bool{true, true}},
		} {
			if len(resp.Topics[i].Partitions) != 2 {
				t.Fatalf("topic %d: %d partitions, want each once", i, len(resp.Topics[i].Partitions))
			}
			for j, p := range resp.Topics[i].Partitions {
				wantCode(t, fmt.Sprint(i, j), p.ErrorCode, want.code[j])
				if (p.ErrorMessage != nil) != want.words[j] {
					t.Errorf("topic %d, partition %d: message %q", i, j, deref(p.ErrorMessage))
				}
			}
		}
		active := resp.Topics[0].Partitions[0].ActiveProducers
		if len(active) != 2 || active[0].ProducerID != 20 || active[1].ProducerID != 21 {
			t.Fatalf("producers %+v", active)
		}
		if p := active[1]; p.ProducerEpoch != 3 || p.LastSequence != 1 || p.LastTimestamp != someTime+1 || p.CoordinatorEpoch != -1 || p.CurrentTxnStartOffset != -1 {
			t.Errorf("producer %+v", p)
		}
	})
}

func TestDescribeLogDirs(t *testing.T) {
	story(t, map[string]string{"log.dirs": "/data,/more", "cordoned.log.dirs": "/more"}, func(t *testing.T, x *fixture) {
		x.topic("a", 2)
		x.topic("b", 1)
		x.produce("b", 0, batch("v"))
		x.eachVersion(35, func(version int16) {
			all := kmsg.NewPtrDescribeLogDirsRequest()
			some := kmsg.NewPtrDescribeLogDirsRequest()
			topic := kmsg.NewDescribeLogDirsRequestTopic()
			topic.Topic, topic.Partitions = "b", []int32{0, 5}
			some.Topics = append(some.Topics, topic)
			none := kmsg.NewPtrDescribeLogDirsRequest()
			none.Topics = []kmsg.DescribeLogDirsRequestTopic{}
			for _, c := range []struct {
				req  *kmsg.DescribeLogDirsRequest
				want string
			}{{all, "a0 a1 b0"}, {some, "b0"}, {none, ""}} {
				resp := ask[*kmsg.DescribeLogDirsResponse](x, version, c.req)
				if len(resp.Dirs) != 2 || resp.Dirs[0].Dir != "/data" || resp.Dirs[1].Dir != "/more" {
					t.Fatalf("version %d: %+v", version, resp.Dirs)
				}
				var got []string
				for _, d := range resp.Dirs {
					if d.ErrorCode != 0 || version >= 4 && (d.TotalBytes <= 0 || d.UsableBytes <= 0) || version >= 5 && d.IsCordoned != (d.Dir == "/more") {
						t.Errorf("version %d: %+v", version, d)
					}
					for _, topic := range d.Topics {
						for _, p := range topic.Partitions {
							got = append(got, fmt.Sprint(topic.Topic, p.Partition))
							if p.OffsetLag != 0 || p.IsFuture || (p.Size > 0) != (topic.Topic == "b") {
								t.Errorf("version %d: %s %+v", version, topic.Topic, p)
							}
						}
					}
				}
				sorted := strings.Fields(strings.Join(got, " "))
				if len(sorted) != len(strings.Fields(c.want)) {
					t.Errorf("version %d: %v, want %s", version, got, c.want)
				}
			}
		})
	})
}

func TestInitProducerID(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		seen := map[int64]bool{}
		x.eachVersion(22, func(version int16) {
			for _, c := range []struct {
				name    string
				min     int16
				txn     *string
				timeout int32
				id      int64
				epoch   int16
				want    protocol.Code
			}{
				{"new", 0, nil, 60_000, -1, -1, 0},
				{"no timeout, which is not for it", 0, nil, 0, -1, -1, 0},
				{"again, with what it has", 3, nil, 60_000, 5000, 3, 0},
				{"an id alone", 3, nil, 60_000, 5000, -1, protocol.InvalidRequest},
				{"an epoch alone", 3, nil, 60_000, -1, 3, protocol.InvalidRequest},
				{"an empty transactional id", 0, ptr(""), 60_000, -1, -1, protocol.InvalidRequest},
				{"a transactional id", 0, ptr("t"), 60_000, -1, -1, protocol.TransactionalIDAuthorizationFailed},
				{"a transaction without a timeout", 0, ptr("t"), 0, -1, -1, protocol.InvalidTransactionTimeout},
				{"a transaction for too long", 0, ptr("t"), 900_001, -1, -1, protocol.InvalidTransactionTimeout},
			} {
				if version < c.min {
					continue
				}
				req := kmsg.NewPtrInitProducerIDRequest()
				req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = c.txn, c.timeout, c.id, c.epoch
				resp := ask[*kmsg.InitProducerIDResponse](x, version, req)
				wantCode(t, fmt.Sprintf("%s, version %d", c.name, version), resp.ErrorCode, c.want)
				if ok := c.want == 0; ok && (resp.ProducerEpoch != 0 || resp.ProducerID < 0 || seen[resp.ProducerID]) || !ok && (resp.ProducerID != -1 || resp.ProducerEpoch != -1) {
					t.Errorf("%s, version %d: %+v", c.name, version, resp)
				}
				seen[resp.ProducerID] = true
			}
		})
	})
}

// A record that is deleted comes to nobody, not even after a long time, and the
// room it took is given back.
func TestTopicIsGoneForGood(t *testing.T) {
	story(t, map[string]string{"log.segment.delete.delay.ms": "1000"}, func(t *testing.T, x *fixture) {
		x.topic("t", 1)
		x.produce("t", 0, batch("old"))
		x.deleteTopic("t")
		x.topic("t", 1)
		if got := x.fetchValues("t", 0, 0); len(got) > 0 {
			t.Errorf("a new topic of the same name holds %q", got)
		}
		<-time.After(time.Hour)
		entries, err := x.mem.ReadDir("/data")
		x.must(err)
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), "-delete") {
				t.Errorf("%s is still there after an hour", e.Name())
			}
		}
	})
}

// past answers with the metadata of an earlier moment: what a handler has at
// hand that looked a topic up and was held up since.
type past struct {
	Controller
	img *metadata.Image
}

func (p past) Image() *metadata.Image { return p.img }

// A topic may be replaced by another of its name between the look at the
// metadata and that at the partition. Records of the one never come into the
// other, and are not read out of it.
func TestTopicIsReplacedMeanwhile(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		id := x.topic("a", 1)
		img := x.controller.Image()
		x.deleteTopic("a")
		x.topic("a", 1)
		x.produce("a", 0, batch("of the new one"))
		x.h.Controller = past{x.controller, img}

		for _, acks := range []int16{1, -1} {
			req := withIDs(produceTo("a", 0, batch("of the old one")), id)
			req.Acks = acks
			out := onlyProduced(x, ask[*kmsg.ProduceResponse](x, 13, req))
			wantCode(t, "produce", out.ErrorCode, protocol.UnknownTopicID)
		}
		if got := values(t, x.stored("a", 0)); !slices.Equal(got, []string{"of the new one"}) {
			t.Errorf("the new topic holds %q", got)
		}
		got := onlyFetched(x, ask[*kmsg.FetchResponse](x, 13, fetchOf(13, fetchPart{id: id})))
		wantCode(t, "fetch", got.ErrorCode, protocol.InconsistentTopicID)
		if len(got.RecordBatches) > 0 {
			t.Errorf("the old topic gives %q", values(t, got.RecordBatches))
		}
	})
}
