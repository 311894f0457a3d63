package controller

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strconv"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// view is all that a decision may look at. A decision changes none of it and
// asks nothing else: no clock, no lock, no file.
type view struct {
	img       *metadata.Image
	nodeID    int32
	clusterID string
	cfg       *config.Broker
	rand      *rand.Rand
	// kraftVersion and bootstrap are as in Options.
	kraftVersion int16
	bootstrap    []metadata.Message

	altered *config.DynamicValues // of img, once it was asked for
	// checked has what checkMatches found before the lock was taken.
	checked map[string]error
	// collides finds the existing topic with which a new one collides.
	collides func(name string) string
	// done tells whether nobody waits for the decision any more; nil is never.
	done func() bool
}

// after is the view once records are applied, for the later part of a decision.
// The records get offsets as if they were the next ones.
func (v *view) after(records []metadata.Message) (*view, error) {
	img, _, err := v.img.Apply(records, v.img.Offset+int64(len(records)), v.img.Epoch)
	if err != nil {
		return nil, err
	}
	next := *v
	next.img, next.altered = img, nil
	return &next, nil
}

// gaveUp is an error once nobody waits for the decision: its deadline has passed
// or its connection has ended. A decision over many elements asks at each, for
// it keeps all others waiting.
func (v *view) gaveUp() error {
	if v.done != nil && v.done() {
		return protocol.RequestTimedOut
	}
	return nil
}

// nextOffset is the offset that the first record of the decision will have, or
// a little less when raft has batches of its own in between.
func (v *view) nextOffset() int64 { return v.img.Offset + 1 }

// reservedIDs are the ids at the beginning of the range that Kafka keeps for
// special uses, such as metadata.DirUnassigned.
const reservedIDs = 100

func reserved(id metadata.UUID) bool {
	return binary.BigEndian.Uint64(id[:8]) == 0 && binary.BigEndian.Uint64(id[8:]) < reservedIDs
}

// newID makes a random id. Like Kafka's, its text never begins with a dash,
// which a command line would take for an option.
func (v *view) newID() (id metadata.UUID) {
	for reserved(id) || metadata.FormatUUID(id)[0] == '-' {
		binary.BigEndian.PutUint64(id[:8], v.rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], v.rand.Uint64())
	}
	return id
}

// active tells whether a broker may lead partitions.
func (v *view) active(broker int32) bool {
	b := v.img.Broker(broker)
	return b != nil && b.Active()
}

// checkBrokerEpoch refuses what an earlier incarnation of a broker asks for.
func (v *view) checkBrokerEpoch(broker int32, epoch int64) error {
	b := v.img.Broker(broker)
	if b == nil {
		return protocol.Errorf(protocol.StaleBrokerEpoch, "No broker registration found for broker id %d", broker)
	}
	if b.Epoch != epoch {
		return protocol.Errorf(protocol.StaleBrokerEpoch, "Expected broker epoch %d, but got broker epoch %d", b.Epoch, epoch)
	}
	return nil
}

// elrEnabled tells whether eligible leader replicas (KIP-966) are switched on.
func (v *view) elrEnabled() bool { return v.img.Feature(metadata.FeatureELRVersion) >= 1 }

// The topic configs that decisions depend on. Their broker keys have the same names.
const (
	minISRKey  = "min.insync.replicas"
	uncleanKey = "unclean.leader.election.enable"
)

// dynamic is what was altered at run time for the brokers' configs.
func (v *view) dynamic() config.DynamicValues {
	if v.altered == nil {
		v.altered = &config.DynamicValues{
			PerNode:     v.img.Configs(metadata.ResourceBroker, strconv.Itoa(int(v.nodeID))),
			ClusterWide: v.img.Configs(metadata.ResourceBroker, ""),
		}
	}
	return *v.altered
}

// topicConfig is the value in force of a topic's config whose broker key has
// the same name: the topic's own, this node's, all brokers', the static one.
func (v *view) topicConfig(topic, key string) string {
	dynamic := v.dynamic()
	for _, level := range []map[string]string{v.img.Configs(metadata.ResourceTopic, topic), dynamic.PerNode, dynamic.ClusterWide} {
		if value, ok := level[key]; ok {
			return value
		}
	}
	value, _, _ := v.cfg.Value(key)
	return value
}

// minISR is min.insync.replicas of a topic, at most its replication factor.
func (v *view) minISR(t *metadata.Topic) int {
	n, err := strconv.Atoi(v.topicConfig(t.Name, minISRKey))
	if err != nil {
		n = 1
	}
	if p := t.Partition(0); p != nil {
		n = min(n, len(p.Replicas))
	}
	return n
}

func (v *view) uncleanElections(topic string) bool {
	enabled, _ := strconv.ParseBool(v.topicConfig(topic, uncleanKey))
	return enabled
}

// bounded refuses records that do not fit into one batch.
func bounded(records []metadata.Message) error {
	if len(records) > maxRecordsPerBatch {
		return errTooLarge
	}
	return nil
}

// text is the message of an error as Kafka puts it into responses: null for a
// bare code.
func text(err error) *string {
	var e *protocol.Error
	if !errors.As(err, &e) {
		return nil
	}
	return &e.Message
}

// code is an error's code as responses carry it.
func code(err error) int16 { return int16(protocol.CodeOf(err)) }

// withText is a code with its default message, which some of Kafka's answers
// carry and others do not.
func withText(c protocol.Code) error { return &protocol.Error{Code: c, Message: c.Message()} }
