package api

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

func metadataOf(names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	return req
}

func metadataOfID(id [16]byte, name *string) *kmsg.MetadataRequest {
	req := metadataOf()
	t := kmsg.NewMetadataRequestTopic()
	t.TopicID, t.Topic = id, name
	req.Topics = append(req.Topics, t)
	return req
}

func TestMetadataInEachVersion(t *testing.T) {
	story(t, map[string]string{"broker.rack": "east"}, func(t *testing.T, x *fixture) {
		a := x.topic("a", 2)
		x.topic("b", 1)
		x.eachVersion(3, func(version int16) {
			resp := ask[*kmsg.MetadataResponse](x, version, metadataOf("b", "a", "a"))
			if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 1 || resp.Brokers[0].Host != "127.0.0.1" || resp.Brokers[0].Port != 9092 {
				t.Errorf("version %d: brokers %+v", version, resp.Brokers)
			}
			if rack := deref(resp.Brokers[0].Rack); version >= 1 && rack != "east" {
				t.Errorf("version %d: rack %q", version, rack)
			}
			if version >= 1 && resp.ControllerID != 1 || version >= 2 && deref(resp.ClusterID) != x.h.ClusterID {
				t.Errorf("version %d: controller %d of %q", version, resp.ControllerID, deref(resp.ClusterID))
			}
			if len(resp.Topics) != 2 || *resp.Topics[0].Topic != "b" || *resp.Topics[1].Topic != "a" || len(resp.Topics[1].Partitions) != 2 {
				t.Fatalf("version %d: topics %+v, want b and a, each once", version, resp.Topics)
			}
			topic := resp.Topics[1]
			if version >= 10 && topic.TopicID != a || topic.ErrorCode != 0 || topic.IsInternal || topic.AuthorizedOperations != math.MinInt32 {
				t.Errorf("version %d: %+v", version, topic)
			}
			for i, p := range topic.Partitions {
				wantEpoch := int32(-1)
				if version >= 7 {
					wantEpoch = 0
				}
				if p.ErrorCode != 0 || p.Partition != int32(i) || p.Leader != 1 || p.LeaderEpoch != wantEpoch ||
					!slices.Equal(p.Replicas, []int32{1}) || !slices.Equal(p.ISR, []int32{1}) || len(p.OfflineReplicas) > 0 {
					t.Errorf("version %d: partition %d is %+v", version, i, p)
				}
			}
		})
	})
}

// Which topics a request means: all by null, in version 0 by none; none by none
// later.
func TestMetadataOfAllTopics(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		x.topic("b", 1)
		x.topic("__consumer_offsets", 1)
		x.eachVersion(3, func(version int16) {
			all, none := metadataOf(), metadataOf()
			all.Topics = nil
			if version == 0 {
				all = metadataOf()
			}
			resp := ask[*kmsg.MetadataResponse](x, version, all)
			var names []string
			for _, topic := range resp.Topics {
				names = append(names, *topic.Topic)
				if version >= 1 && topic.IsInternal != (*topic.Topic == "__consumer_offsets") {
					t.Errorf("version %d: %s internal: %v", version, *topic.Topic, topic.IsInternal)
				}
			}
			if want := []string{"__consumer_offsets", "a", "b"}; !slices.Equal(names, want) {
				t.Errorf("version %d: %v, want %v", version, names, want)
			}
			if version == 0 {
				return
			}
			if resp := ask[*kmsg.MetadataResponse](x, version, none); len(resp.Topics) != 0 || len(resp.Brokers) != 1 {
				t.Errorf("version %d: no topic was asked for: %+v", version, resp.Topics)
			}
		})
	})
}

func TestMetadataOfWhatIsNotThere(t *testing.T) {
	story(t, map[string]string{"auto.create.topics.enable": "false"}, func(t *testing.T, x *fixture) {
		a := x.topic("a", 1)
		x.topic("b", 1)
		unknown := [16]byte{7}
		for _, c := range []struct {
			name     string
			min, max int16
			req      *kmsg.MetadataRequest
			topic    *string // of the answer
			id       [16]byte
			want     protocol.Code
			whole    protocol.Code // of version 13
			alone    bool          // neither brokers nor cluster
		}{
			{"unknown", 0, 13, metadataOf("u"), ptr("u"), [16]byte{}, protocol.UnknownTopicOrPartition, 0, false},
			{"a bad name", 0, 13, metadataOf("a b"), ptr("a b"), [16]byte{}, protocol.InvalidTopicException, 0, false},
			{"an empty name", 0, 13, metadataOf(""), ptr(""), [16]byte{}, protocol.InvalidTopicException, 0, false},
			{"a dot", 0, 13, metadataOf("."), ptr("."), [16]byte{}, protocol.InvalidTopicException, 0, false},
			{"two dots", 0, 13, metadataOf(".."), ptr(".."), [16]byte{}, protocol.InvalidTopicException, 0, false},
			{"a long name", 0, 13, metadataOf(strings.Repeat("x", 250)), ptr(strings.Repeat("x", 250)), [16]byte{}, protocol.InvalidTopicException, 0, false},
			{"the longest name", 0, 13, metadataOf(strings.Repeat("x", 249)), ptr(strings.Repeat("x", 249)), [16]byte{}, protocol.UnknownTopicOrPartition, 0, false},
			{"unknown id", 12, 13, metadataOfID(unknown, nil), nil, unknown, protocol.UnknownTopicID, 0, false},
			{"an id", 12, 13, metadataOfID(a, nil), ptr("a"), a, 0, 0, false},
			{"an id and a name", 12, 13, metadataOfID(a, ptr("a")), ptr("a"), a, 0, 0, false},
			{"an id and another name", 12, 13, metadataOfID(a, ptr("b")), ptr("a"), a, 0, 0, false},
			{"an id before there were any", 10, 11, metadataOfID(a, nil), ptr(""), a, protocol.InvalidRequest, 0, true},
			{"an id with a name, before", 10, 11, metadataOfID(a, ptr("a")), ptr("a"), a, protocol.InvalidRequest, 0, true},
			{"neither name nor id", 12, 13, metadataOfID([16]byte{}, nil), ptr(""), [16]byte{}, protocol.UnknownServerError, protocol.UnknownServerError, true},
		} {
			for version := c.min; version <= c.max; version++ {
				resp := ask[*kmsg.MetadataResponse](x, version, c.req)
				what := fmt.Sprintf("%s, version %d", c.name, version)
				if len(resp.Topics) != 1 || (len(resp.Brokers) == 0) != c.alone {
					t.Fatalf("%s: %+v", what, resp)
				}
				topic := resp.Topics[0]
				wantCode(t, what, topic.ErrorCode, c.want)
				if version >= 13 {
					wantCode(t, what+", the whole", resp.ErrorCode, c.whole)
				}
				if (topic.Topic == nil) != (c.topic == nil) || deref(topic.Topic) != deref(c.topic) || version >= 10 && topic.TopicID != c.id {
					t.Errorf("%s: topic %q %x", what, deref(topic.Topic), topic.TopicID)
				}
			}
		}
	})
}

// A missing topic is created on the way when the broker and the client allow
// it; before version 4 a client could not say no.
func TestMetadataCreatesTopics(t *testing.T) {
	for _, c := range []struct {
		enabled string
		allow   bool
		creates func(version int16) bool
	}{
		{"true", true, func(int16) bool { return true }},
		{"true", false, func(v int16) bool { return v < 4 }},
		{"false", true, func(int16) bool { return false }},
	} {
		story(t, map[string]string{"auto.create.topics.enable": c.enabled, "num.partitions": "3"}, func(t *testing.T, x *fixture) {
			x.eachVersion(3, func(version int16) {
				name := fmt.Sprint("new", version)
				req := metadataOf(name, "bad name", "__consumer_offsets", name)
				req.AllowAutoTopicCreation = c.allow
				resp := ask[*kmsg.MetadataResponse](x, version, req)
				got := map[string]kmsg.MetadataResponseTopic{}
				for _, topic := range resp.Topics {
					got[*topic.Topic] = topic
				}
				if created := got[name].ErrorCode == 0; created != c.creates(version) || created && len(got[name].Partitions) != 3 || len(got) != 3 {
					t.Errorf("enabled %s, allowed %v, version %d: %+v", c.enabled, c.allow, version, resp.Topics)
				}
				wantCode(t, "bad name", got["bad name"].ErrorCode, protocol.InvalidTopicException)
				wantCode(t, "internal topic", got["__consumer_offsets"].ErrorCode, protocol.UnknownTopicOrPartition)
			})
		})
	}
}

func TestMetadataOperations(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		for version := int16(8); version <= 13; version++ {
			req := metadataOf("a")
			req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
			resp := ask[*kmsg.MetadataResponse](x, version, req)
			// 3576 and 8096 are what Kafka 4.3.1 answers without an authorizer.
			if resp.Topics[0].AuthorizedOperations != 3576 || version <= 10 && resp.AuthorizedOperations != 8096 {
				t.Errorf("version %d: operations %d and %d", version, resp.Topics[0].AuthorizedOperations, resp.AuthorizedOperations)
			}
		}
	})
}

// A client is told of those brokers only that its own listener reaches.
func TestMetadataOfAnotherListener(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		x.listener = "INTERNAL"
		x.eachVersion(3, func(version int16) {
			resp := ask[*kmsg.MetadataResponse](x, version, metadataOf("a"))
			want := protocol.LeaderNotAvailable
			if version >= 6 {
				want = protocol.ListenerNotFound
			}
			p := resp.Topics[0].Partitions[0]
			wantCode(t, fmt.Sprint("version ", version), p.ErrorCode, want)
			if len(resp.Brokers) > 0 || p.Leader != -1 || version >= 5 && !slices.Equal(p.OfflineReplicas, []int32{1}) {
				t.Errorf("version %d: brokers %+v, partition %+v", version, resp.Brokers, p)
			}
		})
	})
}

// clusterOf makes an image of three brokers, one of them fenced, with a topic
// that lives on all of them and has lost a log dir.
func clusterOf(t *testing.T) *metadata.Image {
	t.Helper()
	dirs := [][16]byte{{1}, {2}, {3}}
	var records []metadata.Message
	for id := int32(1); id <= 3; id++ {
		b := metadata.NewRegisterBrokerRecord()
		b.BrokerID, b.BrokerEpoch, b.Fenced = id, int64(id), id == 3
		b.IncarnationID = [16]byte{byte(id)}
		b.LogDirs = [][16]byte{dirs[id-1]}
		b.EndPoints = append(b.EndPoints, metadata.BrokerEndpoint{Name: "PLAINTEXT", Host: fmt.Sprint("host", id), Port: uint16(9000 + id)})
		records = append(records, b)
	}
	records = append(records, &metadata.TopicRecord{Name: "t", TopicID: [16]byte{9}})
	for id, leader := range []int32{1, 3, -1, 1} {
		p := metadata.NewPartitionRecord()
		p.TopicID, p.PartitionID, p.Leader, p.LeaderEpoch, p.PartitionEpoch = [16]byte{9}, int32(id), leader, 4, 5
		p.Replicas, p.ISR, p.Directories = []int32{1, 2, 3}, []int32{1, 3}, slices.Clone(dirs)
		if id == 2 {
			p.Directories[0] = metadata.DirLost
		}
		if id == 3 {
			p.Directories[1] = [16]byte{77} // which broker 2 does not have
			p.EligibleLeaderReplicas, p.LastKnownELR = []int32{2}, []int32{3}
		}
		records = append(records, p)
	}
	img, _, err := metadata.Empty().Apply(records, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// What a cluster with trouble looks like: a fenced broker, no leader, a log dir
// that is gone.
func TestMetadataOfATroubledCluster(t *testing.T) {
	h := &Handler{ClusterID: "c", Controller: imageOnly{image: clusterOf(t)}, Static: &config.Broker{NodeID: 2}}
	x := &fixture{TB: t, h: h, session: &Session{}, listener: "PLAINTEXT"}
	all := metadataOf()
	all.Topics = nil
	for _, version := range []int16{5, 6, 13} {
		resp := ask[*kmsg.MetadataResponse](x, version, all)
		if len(resp.Brokers) != 2 || resp.ControllerID != 1 {
			t.Errorf("version %d: brokers %+v", version, resp.Brokers)
		}
		unreachable := protocol.LeaderNotAvailable
		if version >= 6 {
			unreachable = protocol.ListenerNotFound
		}
		for i, want := range []struct {
			code    protocol.Code
			leader  int32
			offline []int32
		}{{0, 1, []int32{3}}, {unreachable, -1, []int32{3}}, {protocol.LeaderNotAvailable, -1, []int32{1, 3}}, {0, 1, []int32{2, 3}}} {
			p := resp.Topics[0].Partitions[i]
			wantCode(t, fmt.Sprintf("version %d, partition %d", version, i), p.ErrorCode, want.code)
			if p.Leader != want.leader || !slices.Equal(p.OfflineReplicas, want.offline) || !slices.Equal(p.Replicas, []int32{1, 2, 3}) || !slices.Equal(p.ISR, []int32{1, 3}) {
				t.Errorf("version %d, partition %d: %+v", version, i, p)
			}
		}
	}
	// Version 0 lists only replicas that are there, and says so.
	old := ask[*kmsg.MetadataResponse](x, 0, metadataOf()).Topics[0].Partitions[0]
	if protocol.Code(old.ErrorCode) != protocol.ReplicaNotAvailable || !slices.Equal(old.Replicas, []int32{1, 2}) || !slices.Equal(old.ISR, []int32{1}) {
		t.Errorf("version 0: %+v", old)
	}
}

// A broker that is fenced and still answers lists itself, though it leads nothing:
// no client is told of a cluster without brokers while a node stops.
func TestMetadataOfAFencedBroker(t *testing.T) {
	h := &Handler{ClusterID: "c", Controller: imageOnly{image: clusterOf(t)}, Static: &config.Broker{NodeID: 3}}
	x := &fixture{TB: t, h: h, session: &Session{}, listener: "PLAINTEXT"}
	resp := ask[*kmsg.MetadataResponse](x, 13, metadataOf("t"))
	if n := len(resp.Brokers); n != 3 || resp.Brokers[2].NodeID != 3 || resp.Brokers[2].Host != "host3" || resp.ControllerID != 1 {
		t.Errorf("brokers %+v, controller %d", resp.Brokers, resp.ControllerID)
	}
	if p := resp.Topics[0].Partitions[1]; p.Leader != -1 {
		t.Errorf("a fenced broker leads: %+v", p)
	}
}

func TestDescribeCluster(t *testing.T) {
	h := &Handler{ClusterID: "c", Controller: imageOnly{image: clusterOf(t)}}
	x := &fixture{TB: t, h: h, session: &Session{}, listener: "PLAINTEXT"}
	x.eachVersion(60, func(version int16) {
		for _, fenced := range []bool{false, true} {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.EndpointType, req.IncludeFencedBrokers, req.IncludeClusterAuthorizedOperations = 1, fenced, true
			resp := ask[*kmsg.DescribeClusterResponse](x, version, req)
			wantBrokers := 2
			if fenced && version >= 2 {
				wantBrokers = 3
			}
			if resp.ErrorCode != 0 || resp.ClusterID != "c" || resp.ControllerID != 1 || len(resp.Brokers) != wantBrokers || resp.ClusterAuthorizedOperations != 8096 {
				t.Errorf("version %d, fenced %v: %+v", version, fenced, resp)
			}
			if b := resp.Brokers[1]; b.NodeID != 2 || b.Host != "host2" || b.Port != 9002 || b.IsFenced {
				t.Errorf("version %d: broker %+v", version, b)
			}
			if wantBrokers == 3 && !resp.Brokers[2].IsFenced {
				t.Errorf("version %d: broker 3 is not fenced", version)
			}
		}
		if version < 1 {
			return
		}
		for kind, want := range map[int8]protocol.Code{2: protocol.MismatchedEndpointType, 3: protocol.UnsupportedEndpointType, 0: protocol.UnsupportedEndpointType} {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.EndpointType = kind
			resp := ask[*kmsg.DescribeClusterResponse](x, version, req)
			wantCode(t, fmt.Sprint("endpoint type ", kind), resp.ErrorCode, want)
			if len(resp.Brokers) > 0 || deref(resp.ErrorMessage) == "" || resp.ControllerID != -1 {
				t.Errorf("endpoint type %d: %+v", kind, resp)
			}
		}
	})
}
