package controller

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// configOp is one change of one config. value is nil for a deletion.
type configOp struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

// alterResource decides the changes of one resource's configs:
//
//  1. each operation makes a new value from the one that was set, or from the
//     default when none was;
//  2. a value that stays as it is needs no record, except of brokers, which
//     take a record as the order to read files anew (KAFKA-14136);
//  3. the resource's configs as they will be are checked together.
//
// created is set for a topic that is being created: it need not exist.
func alterResource(v *view, at metadata.ConfigResource, ops []configOp, created bool) ([]metadata.Message, error) {
	current := v.img.Configs(at.Type, at.Name)
	next := maps.Clone(current)
	if next == nil {
		next = map[string]string{}
	}
	var records []metadata.Message
	for _, op := range ops {
		old, had := current[op.name]
		value, err := op.apply(at, old, had)
		if err != nil {
			return nil, err
		}
		unchanged := had == (value != nil) && (value == nil || *value == old)
		if unchanged && at.Type != metadata.ResourceBroker {
			continue
		}
		if err := checkMinISR(v, at, op.name, value); err != nil {
			return nil, err
		}
		delete(next, op.name)
		if value != nil {
			if len(*value) > math.MaxInt16 {
				return nil, protocol.Errorf(protocol.InvalidConfig,
					"The configuration value cannot be added because it exceeds the maximum value size of %d bytes.", math.MaxInt16)
			}
			next[op.name] = *value
		}
		records = append(records, &metadata.ConfigRecord{ResourceType: at.Type, ResourceName: at.Name, Name: op.name, Value: value})
	}
	if err := validateConfigs(v, at, next); err != nil {
		return nil, err
	}
	if !created {
		if err := checkExists(v, at); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// apply is the value after the operation, nil for none.
func (op configOp) apply(at metadata.ConfigResource, old string, had bool) (*string, error) {
	switch op.op {
	case kmsg.IncrementalAlterConfigOpSet:
		return op.value, nil
	case kmsg.IncrementalAlterConfigOpDelete:
		return nil, nil
	case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
	default:
		if at.Type == metadata.ResourceBroker {
			return nil, protocol.Errorf(protocol.InvalidRequest, "Unknown operations type %d", op.op)
		}
		return nil, protocol.UnknownServerError
	}
	key, known := lookup(at, op.name)
	if !known || key.Type != config.List {
		word := "append"
		if op.op == kmsg.IncrementalAlterConfigOpSubtract {
			word = "subtract"
		}
		if at.Type == metadata.ResourceBroker {
			return nil, protocol.Errorf(protocol.InvalidConfig, "Config value %s is not allowed for config key: %s", word, op.name)
		}
		return nil, protocol.Errorf(protocol.InvalidConfig, "Can't %s to key %s because its type is not LIST.", strings.ToUpper(word), op.name)
	}
	if !had {
		old = key.Default
	}
	list := slices.DeleteFunc(strings.Split(old, ","), func(s string) bool { return s == "" })
	joined := strings.Join(changeList(list, strings.Split(*op.value, ","), op.op), ",")
	return &joined, nil
}

// changeList appends to a list the items that it does not have, or takes the
// first of each item out of it.
func changeList(list, items []string, op kmsg.IncrementalAlterConfigOp) []string {
	if op == kmsg.IncrementalAlterConfigOpAppend {
		has := make(map[string]bool, len(list)+len(items))
		for _, item := range list {
			has[item] = true
		}
		for _, item := range items {
			if !has[item] {
				has[item] = true
				list = append(list, item)
			}
		}
		return list
	}
	times := make(map[string]int, len(items))
	for _, item := range items {
		times[item]++
	}
	return slices.DeleteFunc(list, func(item string) bool {
		times[item]--
		return times[item] >= 0
	})
}

// lookup finds the key of a resource's config. As in Kafka, only those of topics
// and brokers have types here.
func lookup(at metadata.ConfigResource, name string) (config.Key, bool) {
	switch at.Type {
	case metadata.ResourceTopic:
		return config.Lookup(config.ScopeTopic, name)
	case metadata.ResourceBroker:
		return config.Lookup(config.ScopeBroker, name)
	}
	return config.Key{}, false
}

// checkMinISR keeps min.insync.replicas the same on all brokers while eligible
// leader replicas are on: their meaning depends on it (KIP-966).
func checkMinISR(v *view, at metadata.ConfigResource, name string, value *string) error {
	if name != minISRKey || at.Type != metadata.ResourceBroker || !v.elrEnabled() {
		return nil
	}
	if at.Name != "" {
		return protocol.Errorf(protocol.InvalidConfig, "Broker-level min.insync.replicas cannot be altered while ELR is enabled.")
	}
	if value == nil {
		return protocol.Errorf(protocol.InvalidConfig, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
	}
	return nil
}

// validateConfigs checks all configs of a resource as they will be.
func validateConfigs(v *view, at metadata.ConfigResource, configs map[string]string) error {
	switch at.Type {
	case metadata.ResourceTopic:
		if at.Name == "" {
			return protocol.Errorf(protocol.InvalidRequest, "Default topic resources are not allowed.")
		}
		if err := ValidTopicName(at.Name); err != nil {
			return err
		}
		return configError(v.cfg.ValidateTopic(configs))
	case metadata.ResourceBroker:
		dynamic := v.dynamic()
		now, _ := v.cfg.With(dynamic.PerNode, dynamic.ClusterWide)
		return configError(now.ValidateBroker(configs, at.Name != ""))
	case metadata.ResourceGroup:
		if at.Name == "" {
			return protocol.Errorf(protocol.InvalidRequest, "Default group resources are not allowed.")
		}
		return configError(v.cfg.ValidateGroup(configs))
	case metadata.ResourceClientMetrics:
		return validateClientMetrics(v, at.Name, configs)
	}
	return protocol.Errorf(protocol.InvalidRequest, "Unknown resource type %d", at.Type)
}

// configError gives a refused config its code.
func configError(err error) error {
	var refused *config.Error
	if !errors.As(err, &refused) {
		return err
	}
	if refused.Kind == config.InvalidRequest {
		return protocol.Errorf(protocol.InvalidRequest, "%s", refused.Message)
	}
	return protocol.Errorf(protocol.InvalidConfig, "%s", refused.Message)
}

// checkBrokerName refuses the configs of other brokers: each broker's are
// altered through itself, which alone can check them.
func checkBrokerName(v *view, name string) error {
	if name == "" {
		return nil // all brokers
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return protocol.Errorf(protocol.InvalidRequest, "Node id must be an integer, but it is: %s", name)
	}
	if int32(id) != v.nodeID {
		return protocol.Errorf(protocol.InvalidRequest, "Unexpected broker id, expected %d, but received %s", v.nodeID, name)
	}
	return nil
}

// checkExists refuses the configs of topics that do not exist.
func checkExists(v *view, at metadata.ConfigResource) error {
	if at.Type == metadata.ResourceTopic && v.img.TopicByName(at.Name) == nil {
		return protocol.Errorf(protocol.UnknownTopicOrPartition, "The topic '%s' does not exist.", at.Name)
	}
	return nil
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
