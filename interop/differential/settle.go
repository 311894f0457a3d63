package differential

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/wire"
)

// fenceTopic is a topic of the harness. The harness changes one of its configs
// and waits until the broker shows the change. Then the broker has seen all
// earlier changes of metadata.
const fenceTopic = "the-fence"

// settleLimit is the limit of the wait until a broker sees a committed change.
const settleLimit = 20 * time.Second

// controllerOnly lists the APIs that Kafka's controller answers from its own
// state. They see all earlier changes immediately.
var controllerOnly = map[string]bool{
	"CreateTopics": true, "DeleteTopics": true, "CreatePartitions": true, "AlterConfigs": true,
	"IncrementalAlterConfigs": true, "UpdateFeatures": true, "AlterPartitionAssignments": true,
	"AlterClientQuotas": true, "AlterUserSCRAMCredentials": true, "ElectLeaders": true,
}

// mutates reports whether an answer may mean a change of metadata that the
// broker has not applied yet.
func mutates(req kmsg.Request, resp kmsg.Response) bool {
	m, ok := req.(*kmsg.MetadataRequest)
	if !ok {
		return controllerOnly[kmsg.NameForKey(req.Key())]
	}
	if m.Version >= 4 && !m.AllowAutoTopicCreation {
		return false
	}
	answer, ok := resp.(*kmsg.MetadataResponse)
	return ok && slices.ContainsFunc(answer.Topics, func(t kmsg.MetadataResponseTopic) bool {
		return t.ErrorCode == kerr.UnknownTopicOrPartition.Code || t.ErrorCode == kerr.LeaderNotAvailable.Code
	})
}

// settle returns when the broker has applied all acknowledged changes. Kafka
// acknowledges when its controller has committed, shortly before its broker
// applies the change. Several changes may be applied together. Therefore there
// are two rounds: the second change is applied after the first one, and
// everything before the first one has then been applied completely.
func (s *session) settle() error {
	if !s.dirty {
		return nil
	}
	conn, err := wire.Dial(s.broker.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := createFence(conn); err != nil {
		return err
	}
	for range 2 {
		if err := raiseFence(conn, time.Now().UnixNano()); err != nil {
			return err
		}
	}
	s.dirty = false
	return nil
}

func createFence(conn *wire.Conn) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = fenceTopic, 1, 1
	req.Topics = append(req.Topics, t)
	_, err := conn.Request(req) // an existing topic is fine too
	return err
}

func raiseFence(conn *wire.Conn, height int64) error {
	value := strconv.FormatInt(height, 10)
	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	alter.Version = 1
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Value = "flush.ms", &value
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.Configs = kmsg.ConfigResourceTypeTopic, fenceTopic, append(r.Configs, c)
	alter.Resources = append(alter.Resources, r)
	if _, err := conn.Request(alter); err != nil {
		return err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(settleLimit); time.Now().Before(deadline); <-tick.C {
		if seen, err := fenceHeight(conn); err != nil || seen == value {
			return err
		}
	}
	return fmt.Errorf("the broker does not see a change of %s", fenceTopic)
}

func fenceHeight(conn *wire.Conn) (string, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, fenceTopic, []string{"flush.ms"}
	req.Resources = append(req.Resources, r)
	a, err := conn.Request(req)
	if err != nil {
		return "", err
	}
	for _, res := range a.Response.(*kmsg.DescribeConfigsResponse).Resources {
		for _, c := range res.Configs {
			if c.Value != nil {
				return *c.Value, nil
			}
		}
	}
	return "", nil
}

// learn records the topic ids of an answer.
func (s *session) learn(resp kmsg.Response) {
	switch r := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		for _, t := range r.Topics {
			s.know(t.Topic, t.TopicID)
		}
	case *kmsg.MetadataResponse:
		for _, t := range r.Topics {
			if t.Topic != nil {
				s.know(*t.Topic, t.TopicID)
			}
		}
	}
}

func (s *session) know(topic string, id [16]byte) {
	if topic == "" || id == ([16]byte{}) || id == unknownID {
		return
	}
	s.names.topics[id] = topic
	s.ids[topic] = id
}

// topicID returns the id of a topic that the script created, also if the
// response version has no ids.
func (s *session) topicID(topic string) ([16]byte, error) {
	if topic == "unknown" {
		return unknownID, nil
	}
	if id, ok := s.ids[topic]; ok {
		return id, nil
	}
	if err := s.connect(); err != nil {
		return [16]byte{}, err
	}
	if err := s.settle(); err != nil {
		return [16]byte{}, err
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.AllowAutoTopicCreation = 12, false
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	a, err := s.conn.Request(req)
	if err != nil {
		return [16]byte{}, err
	}
	s.learn(a.Response)
	if id, ok := s.ids[topic]; ok {
		return id, nil
	}
	return [16]byte{}, fmt.Errorf("topic %s has no id", topic)
}
