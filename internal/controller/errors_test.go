package controller

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// fromJSON fills a request from JSON with kmsg's field names, on top of its
// defaults.
func fromJSON[T any](t testing.TB, into T, text string) T {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return into
}

// failure is a row of an error table: what a thing is answered.
type failure struct {
	name, request string
	code          protocol.Code
	message       string // "<null>" for none
}

func (f failure) check(t *testing.T, code int16, message *string) {
	t.Helper()
	if protocol.Code(code) != f.code || deref(message) != f.message {
		t.Errorf("%s:\ngot  %s %q\nwant %s %q", f.name, protocol.Code(code).Name(), deref(message), f.code.Name(), f.message)
	}
}

// unchanged fails when f changed the metadata.
func untouched(t *testing.T, c *Controller, f func()) {
	t.Helper()
	before := c.Image()
	f()
	if c.Image() != before {
		t.Errorf("the metadata changed")
	}
}

// TestCreateTopicsErrors: codes and messages are Apache Kafka 4.3.1's, asked of it.
func TestCreateTopicsErrors(t *testing.T) {
	c, _ := oneNode(t)
	create(t, c, "there", 1)
	create(t, c, "a.b", 1)
	const invalid = protocol.InvalidReplicaAssignment
	for _, f := range []failure{
		{"exists", `{"Topic":"there","NumPartitions":1,"ReplicationFactor":1}`, protocol.TopicAlreadyExists, "Topic 'there' already exists."},
		{"collides", `{"Topic":"a_b","NumPartitions":1,"ReplicationFactor":1}`, protocol.InvalidTopicException, "Topic 'a_b' collides with existing topic: a.b"},
		{"empty name", `{"Topic":"","NumPartitions":1,"ReplicationFactor":1}`, protocol.InvalidTopicException, "Topic name is invalid: the empty string is not allowed"},
		{"dot", `{"Topic":".","NumPartitions":1,"ReplicationFactor":1}`, protocol.InvalidTopicException, "Topic name is invalid: '.' is not allowed"},
		{"dots", `{"Topic":"..","NumPartitions":1,"ReplicationFactor":1}`, protocol.InvalidTopicException, "Topic name is invalid: '..' is not allowed"},
		{"slash", `{"Topic":"a/b","NumPartitions":1,"ReplicationFactor":1}`, protocol.InvalidTopicException, "Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{"umlaut", `{"Topic":"ä","NumPartitions":1,"ReplicationFactor":1}`, protocol.InvalidTopicException, "Topic name is invalid: 'ä' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{"long", `{"Topic":"` + strings.Repeat("t", 250) + `","NumPartitions":1,"ReplicationFactor":1}`, protocol.InvalidTopicException, "Topic name is invalid: the length of '" + strings.Repeat("t", 250) + "' is longer than the max allowed length 249"},
		{"metadata log", `{"Topic":"__cluster_metadata","NumPartitions":1,"ReplicationFactor":1}`, protocol.InvalidRequest, "Creation of internal topic __cluster_metadata is prohibited."},
		{"no partitions", `{"Topic":"x","NumPartitions":0,"ReplicationFactor":1}`, protocol.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."},
		{"-2 partitions", `{"Topic":"x","NumPartitions":-2,"ReplicationFactor":1}`, protocol.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."},
		{"many partitions", `{"Topic":"x","NumPartitions":10001,"ReplicationFactor":1}`, protocol.PolicyViolation, "Excessively large number of partitions per request."},
		{"most partitions", `{"Topic":"x","NumPartitions":10000,"ReplicationFactor":1}`, protocol.PolicyViolation, "Unable to perform excessively large batch operation."},
		{"no replicas", `{"Topic":"x","NumPartitions":0,"ReplicationFactor":0}`, protocol.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."},
		{"-2 replicas", `{"Topic":"x","NumPartitions":1,"ReplicationFactor":-2}`, protocol.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."},
		{"2 replicas", `{"Topic":"x","NumPartitions":1,"ReplicationFactor":2}`, protocol.InvalidReplicationFactor, "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."},
		{"assignment and partitions", `{"Topic":"x","NumPartitions":1,"ReplicationFactor":-1,"ReplicaAssignment":[{"Partition":0,"Replicas":[1]}]}`, protocol.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1."},
		{"assignment and replicas", `{"Topic":"x","NumPartitions":-1,"ReplicationFactor":1,"ReplicaAssignment":[{"Partition":0,"Replicas":[1]}]}`, protocol.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1."},
		{"gap", `{"Topic":"x","NumPartitions":-1,"ReplicationFactor":-1,"ReplicaAssignment":[{"Partition":0,"Replicas":[1]},{"Partition":2,"Replicas":[1]}]}`, invalid, "partitions should be a consecutive 0-based integer sequence"},
		{"negative partition", `{"Topic":"x","NumPartitions":-1,"ReplicationFactor":-1,"ReplicaAssignment":[{"Partition":-1,"Replicas":[1]}]}`, invalid, "partitions should be a consecutive 0-based integer sequence"},
		{"partition twice", `{"Topic":"x","NumPartitions":-1,"ReplicationFactor":-1,"ReplicaAssignment":[{"Partition":0,"Replicas":[1]},{"Partition":0,"Replicas":[1]}]}`, invalid, "Found multiple manual partition assignments for partition 0"},
		{"empty assignment", `{"Topic":"x","NumPartitions":-1,"ReplicationFactor":-1,"ReplicaAssignment":[{"Partition":0,"Replicas":[]}]}`, invalid, "The manual partition assignment includes an empty replica list."},
		{"unknown broker", `{"Topic":"x","NumPartitions":-1,"ReplicationFactor":-1,"ReplicaAssignment":[{"Partition":0,"Replicas":[9]}]}`, invalid, "The manual partition assignment includes broker 9, but no such broker is registered."},
		{"broker twice", `{"Topic":"x","NumPartitions":-1,"ReplicationFactor":-1,"ReplicaAssignment":[{"Partition":0,"Replicas":[1,1]}]}`, invalid, "The manual partition assignment includes the broker 1 more than once."},
		{"unknown config", `{"Topic":"x","NumPartitions":1,"ReplicationFactor":1,"Configs":[{"Name":"no.such.config","Value":"x"}]}`, protocol.InvalidConfig, "Unknown topic config name: no.such.config"},
		{"no number", `{"Topic":"x","NumPartitions":1,"ReplicationFactor":1,"Configs":[{"Name":"retention.ms","Value":"soon"}]}`, protocol.InvalidConfig, "Invalid value soon for configuration retention.ms: Not a number of type LONG"},
		{"null config", `{"Topic":"x","NumPartitions":1,"ReplicationFactor":1,"Configs":[{"Name":"retention.ms","Value":null},{"Name":"segment.ms","Value":null}]}`, protocol.InvalidConfig, "Null value not supported for topic configs: retention.ms,segment.ms"},
	} {
		topic := fromJSON(t, &kmsg.CreateTopicsRequestTopic{}, f.request)
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Version, req.TimeoutMillis, req.Topics = 7, 1000, []kmsg.CreateTopicsRequestTopic{*topic}
		untouched(t, c, func() {
			resp := c.CreateTopics(context.Background(), req)
			if len(resp.Topics) != 1 || resp.Topics[0].Topic != topic.Topic || resp.Topics[0].Configs == nil || resp.Topics[0].NumPartitions != -1 {
				t.Errorf("%s: %+v", f.name, resp)
				return
			}
			f.check(t, resp.Topics[0].ErrorCode, resp.Topics[0].ErrorMessage)
		})
	}
}

// TestCreateTopicsTogether: each topic of a request for itself, duplicates at
// the end, one batch.
func TestCreateTopicsTogether(t *testing.T) {
	c, q := oneNode(t)
	end := q.end
	req := fromJSON(t, kmsg.NewPtrCreateTopicsRequest(), `{"Version":7,"TimeoutMillis":1000,"Topics":[
		{"Topic":"twice","NumPartitions":1,"ReplicationFactor":1}, {"Topic":"a.b","NumPartitions":1,"ReplicationFactor":1},
		{"Topic":"twice","NumPartitions":1,"ReplicationFactor":1}, {"Topic":"bad","NumPartitions":0,"ReplicationFactor":1},
		{"Topic":"a_b","NumPartitions":2,"ReplicationFactor":1}]}`)
	resp := c.CreateTopics(context.Background(), req)
	var got []string
	for _, r := range resp.Topics {
		got = append(got, r.Topic+" "+protocol.Code(r.ErrorCode).Name())
	}
	// Kafka does not see that a.b and a_b collide when they come together.
	if want := "a.b NONE, bad INVALID_PARTITIONS, a_b NONE, twice INVALID_REQUEST"; strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	if n := q.end - end; n != 5 {
		t.Errorf("%d records, want 5", n)
	}
	for _, text := range []string{
		`{"Version":7,"TimeoutMillis":0,"Topics":[{"Topic":"late","NumPartitions":1,"ReplicationFactor":1}]}`,
		`{"Version":7,"TimeoutMillis":-1,"Topics":[{"Topic":"late","NumPartitions":1,"ReplicationFactor":1}]}`,
	} {
		untouched(t, c, func() {
			resp := c.CreateTopics(context.Background(), fromJSON(t, kmsg.NewPtrCreateTopicsRequest(), text))
			failure{"no time", "", protocol.RequestTimedOut, "<null>"}.check(t, resp.Topics[0].ErrorCode, resp.Topics[0].ErrorMessage)
		})
	}
	untouched(t, c, func() {
		req := fromJSON(t, kmsg.NewPtrCreateTopicsRequest(), `{"Version":7,"TimeoutMillis":1000,"ValidateOnly":true,"Topics":[{"Topic":"v","NumPartitions":-1,"ReplicationFactor":-1}]}`)
		r := c.CreateTopics(context.Background(), req).Topics[0]
		if r.ErrorCode != 0 || r.NumPartitions != 1 || r.ReplicationFactor != 1 || r.TopicID == (metadata.UUID{}) || len(r.Configs) == 0 {
			t.Errorf("validated: %+v", r)
		}
	})
}

// TestCreateTopicConfigs: the reply lists the effective configs with their
// sources, the topic's own first.
func TestCreateTopicConfigs(t *testing.T) {
	c, _ := oneNode(t)
	req := fromJSON(t, kmsg.NewPtrCreateTopicsRequest(), `{"Version":7,"TimeoutMillis":1000,"Topics":[{"Topic":"x","NumPartitions":1,"ReplicationFactor":1,
		"Configs":[{"Name":"retention.ms","Value":"1"},{"Name":"cleanup.policy","Value":"compact,delete"},{"Name":"retention.ms","Value":"77"}]}]}`)
	source := map[string]string{}
	for _, e := range c.CreateTopics(context.Background(), req).Topics[0].Configs {
		source[e.Name] = deref(e.Value) + " " + string(rune('0'+e.Source))
	}
	for name, want := range map[string]string{
		"retention.ms": "77 1", "cleanup.policy": "compact,delete 1", "min.insync.replicas": "1 3", "segment.bytes": "1073741824 5",
	} {
		if source[name] != want {
			t.Errorf("%s: %q, want %q", name, source[name], want)
		}
	}
	if _, ok := source["internal.segment.bytes"]; ok {
		t.Error("an internal config is shown")
	}
	if got := c.Image().Configs(metadata.ResourceTopic, "x"); len(got) != 2 || got["retention.ms"] != "77" {
		t.Errorf("configs %v", got)
	}
}

func TestCreatePartitionsErrors(t *testing.T) {
	c, _ := oneNode(t)
	create(t, c, "t", 7)
	const invalid = protocol.InvalidReplicaAssignment
	for _, f := range []failure{
		{"same", `{"Topic":"t","Count":7}`, protocol.InvalidPartitions, "Topic already has 7 partition(s)."},
		{"fewer", `{"Topic":"t","Count":2}`, protocol.InvalidPartitions, "The topic t currently has 7 partition(s); 2 would not be an increase."},
		{"negative", `{"Topic":"t","Count":-1}`, protocol.InvalidPartitions, "The topic t currently has 7 partition(s); -1 would not be an increase."},
		{"too many", `{"Topic":"t","Count":20000}`, protocol.UnknownServerError, "<null>"},
		{"unknown", `{"Topic":"u","Count":2}`, protocol.UnknownTopicOrPartition, "<null>"},
		{"short", `{"Topic":"t","Count":9,"Assignment":[{"Replicas":[1]}]}`, invalid, "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."},
		{"long", `{"Topic":"t","Count":8,"Assignment":[{"Replicas":[1]},{"Replicas":[1]}]}`, invalid, "Attempted to add 1 additional partition(s), but only 2 assignment(s) were specified."},
		{"empty", `{"Topic":"t","Count":8,"Assignment":[{"Replicas":[]}]}`, invalid, "The manual partition assignment includes an empty replica list."},
		{"unknown broker", `{"Topic":"t","Count":8,"Assignment":[{"Replicas":[9]}]}`, invalid, "The manual partition assignment includes broker 9, but no such broker is registered."},
		{"twice", `{"Topic":"t","Count":8,"Assignment":[{"Replicas":[1,1]}]}`, invalid, "The manual partition assignment includes the broker 1 more than once."},
	} {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Version, req.TimeoutMillis = 3, 1000
		req.Topics = []kmsg.CreatePartitionsRequestTopic{*fromJSON(t, &kmsg.CreatePartitionsRequestTopic{}, f.request)}
		untouched(t, c, func() {
			r := c.CreatePartitions(context.Background(), req).Topics[0]
			f.check(t, r.ErrorCode, r.ErrorMessage)
		})
	}
	resp := c.CreatePartitions(context.Background(), fromJSON(t, kmsg.NewPtrCreatePartitionsRequest(),
		`{"Version":3,"TimeoutMillis":1000,"Topics":[{"Topic":"t","Count":8},{"Topic":"t","Count":9},{"Topic":"no","Count":1}]}`))
	if len(resp.Topics) != 2 || resp.Topics[0].ErrorCode != int16(protocol.InvalidRequest) || deref(resp.Topics[0].ErrorMessage) != "Duplicate topic name." {
		t.Errorf("%+v", resp.Topics)
	}
	untouched(t, c, func() {
		resp := c.CreatePartitions(context.Background(), fromJSON(t, kmsg.NewPtrCreatePartitionsRequest(),
			`{"Version":3,"TimeoutMillis":1000,"ValidateOnly":true,"Topics":[{"Topic":"t","Count":9}]}`))
		if resp.Topics[0].ErrorCode != 0 {
			t.Errorf("validated: %+v", resp.Topics)
		}
	})
	resp = c.CreatePartitions(context.Background(), fromJSON(t, kmsg.NewPtrCreatePartitionsRequest(),
		`{"Version":3,"TimeoutMillis":1000,"Topics":[{"Topic":"t","Count":9,"Assignment":[{"Replicas":[1]},{"Replicas":[1]}]}]}`))
	if n := c.Image().TopicByName("t").NumPartitions(); n != 9 || resp.Topics[0].ErrorCode != 0 {
		t.Errorf("%d partitions, %+v", n, resp.Topics)
	}
}

func TestDeleteTopicsErrors(t *testing.T) {
	c, _ := oneNode(t)
	a, b := create(t, c, "a", 1).ID, create(t, c, "b", 1).ID
	name := func(s string) kmsg.DeleteTopicsRequestTopic { return kmsg.DeleteTopicsRequestTopic{Topic: &s} }
	id := func(id metadata.UUID) kmsg.DeleteTopicsRequestTopic {
		return kmsg.DeleteTopicsRequestTopic{TopicID: id}
	}
	both := name("a")
	both.TopicID = a
	for _, row := range []struct {
		failure
		topics []kmsg.DeleteTopicsRequestTopic
		n      int
	}{
		{failure{"both", "", protocol.InvalidRequest, "You may not specify both topic name and topic id."}, []kmsg.DeleteTopicsRequestTopic{both}, 1},
		{failure{"neither", "", protocol.InvalidRequest, "Neither topic name nor id were specified."}, []kmsg.DeleteTopicsRequestTopic{{}}, 1},
		{failure{"unknown", "", protocol.UnknownTopicOrPartition, "This server does not host this topic-partition."}, []kmsg.DeleteTopicsRequestTopic{name("x")}, 1},
		{failure{"unknown id", "", protocol.UnknownTopicID, "This server does not host this topic ID."}, []kmsg.DeleteTopicsRequestTopic{id(uuid(7, 7))}, 1},
		{failure{"name twice", "", protocol.InvalidRequest, "Duplicate topic name."}, []kmsg.DeleteTopicsRequestTopic{name("a"), name("a")}, 1},
		{failure{"id twice", "", protocol.InvalidRequest, "Duplicate topic id."}, []kmsg.DeleteTopicsRequestTopic{id(a), id(a)}, 1},
		{failure{"name and id", "", protocol.InvalidRequest, "The provided topic name maps to an ID that was already supplied."}, []kmsg.DeleteTopicsRequestTopic{id(a), name("a")}, 1},
		{failure{"metadata log", "", protocol.UnknownTopicOrPartition, "This server does not host this topic-partition."}, []kmsg.DeleteTopicsRequestTopic{name("__cluster_metadata")}, 1},
	} {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TimeoutMillis, req.Topics = 6, 1000, row.topics
		untouched(t, c, func() {
			resp := c.DeleteTopics(context.Background(), req)
			if len(resp.Topics) != row.n {
				t.Fatalf("%s: %+v", row.name, resp.Topics)
			}
			row.check(t, resp.Topics[0].ErrorCode, resp.Topics[0].ErrorMessage)
		})
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis, req.Topics = 6, 1000, []kmsg.DeleteTopicsRequestTopic{name("a"), id(b), name("x")}
	resp := c.DeleteTopics(context.Background(), req)
	if c.Image().NumTopics() != 0 || len(resp.Topics) != 3 || *resp.Topics[2].Topic != "b" {
		t.Errorf("%+v", resp.Topics)
	}
	create(t, c, "a", 1)
	req.Version, req.Topics, req.TopicNames = 5, nil, []string{"a", "x"}
	if resp := c.DeleteTopics(context.Background(), req); c.Image().NumTopics() != 0 || resp.Topics[1].ErrorCode != int16(protocol.UnknownTopicOrPartition) {
		t.Errorf("by name: %+v", resp.Topics)
	}
}

func TestDeleteTopicsDisabled(t *testing.T) {
	c, _ := oneNode(t, "delete.topic.enable=false")
	create(t, c, "a", 1)
	for version, want := range map[int16]protocol.Code{2: protocol.InvalidRequest, 5: protocol.TopicDeletionDisabled, 6: protocol.TopicDeletionDisabled} {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TimeoutMillis = version, 1000
		a := "a"
		if version == 6 {
			req.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &a}}
		} else {
			req.TopicNames = []string{a}
		}
		if resp := c.DeleteTopics(context.Background(), req); protocol.Code(resp.Topics[0].ErrorCode) != want || *resp.Topics[0].Topic != a {
			t.Errorf("version %d: %+v", version, resp.Topics)
		}
	}
}
