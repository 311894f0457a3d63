package controller

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

func TestAlterConfigsErrors(t *testing.T) {
	c, _ := oneNode(t)
	create(t, c, "t", 1)
	big := strings.Repeat("0:1,", 10_000) + "0:1"
	for _, f := range []failure{
		{"unknown topic", `{"ResourceType":"TOPIC","ResourceName":"u","Configs":[{"Name":"retention.ms","Op":"SET","Value":"5"}]}`, protocol.UnknownTopicOrPartition, "The topic 'u' does not exist."},
		{"unknown topic, wrong value", `{"ResourceType":"TOPIC","ResourceName":"u","Configs":[{"Name":"retention.ms","Op":"SET","Value":"x"}]}`, protocol.InvalidConfig, "Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{"default topic", `{"ResourceType":"TOPIC","ResourceName":"","Configs":[{"Name":"retention.ms","Op":"SET","Value":"5"}]}`, protocol.InvalidRequest, "Default topic resources are not allowed."},
		{"bad topic", `{"ResourceType":"TOPIC","ResourceName":"a b","Configs":[]}`, protocol.InvalidTopicException, "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{"unknown config", `{"ResourceType":"TOPIC","ResourceName":"t","Configs":[{"Name":"no.such","Op":"SET","Value":"5"}]}`, protocol.InvalidConfig, "Unknown topic config name: no.such"},
		{"null", `{"ResourceType":"TOPIC","ResourceName":"t","Configs":[{"Name":"retention.ms","Op":"SET"},{"Name":"segment.ms","Op":"APPEND"}]}`, protocol.InvalidRequest, "Null value not supported for : retention.ms, segment.ms"},
		{"config twice", `{"ResourceType":"TOPIC","ResourceName":"t","Configs":[{"Name":"retention.ms","Op":"SET","Value":"5"},{"Name":"retention.ms","Op":"SET","Value":"5"}]}`, protocol.InvalidRequest, "Error due to duplicate config keys"},
		{"append to number", `{"ResourceType":"TOPIC","ResourceName":"t","Configs":[{"Name":"retention.ms","Op":"APPEND","Value":"5"}]}`, protocol.InvalidConfig, "Can't APPEND to key retention.ms because its type is not LIST."},
		{"subtract from number", `{"ResourceType":"TOPIC","ResourceName":"t","Configs":[{"Name":"retention.ms","Op":"SUBTRACT","Value":"5"}]}`, protocol.InvalidConfig, "Can't SUBTRACT to key retention.ms because its type is not LIST."},
		{"huge", `{"ResourceType":"TOPIC","ResourceName":"t","Configs":[{"Name":"leader.replication.throttled.replicas","Op":"SET","Value":"` + big + `"}]}`, protocol.InvalidConfig, "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes."},
		{"broker's name", `{"ResourceType":"BROKER","ResourceName":"x","Configs":[]}`, protocol.InvalidRequest, "Node id must be an integer, but it is: x"},
		{"other broker", `{"ResourceType":"BROKER","ResourceName":"2","Configs":[]}`, protocol.InvalidRequest, "Unexpected broker id, expected 1, but received 2"},
		{"broker append", `{"ResourceType":"BROKER","ResourceName":"1","Configs":[{"Name":"log.cleaner.threads","Op":"APPEND","Value":"5"}]}`, protocol.InvalidConfig, "Config value append is not allowed for config key: log.cleaner.threads"},
		{"broker's min.insync.replicas", `{"ResourceType":"BROKER","ResourceName":"1","Configs":[{"Name":"min.insync.replicas","Op":"SET","Value":"1"}]}`, protocol.InvalidConfig, "Broker-level min.insync.replicas cannot be altered while ELR is enabled."},
		{"no min.insync.replicas", `{"ResourceType":"BROKER","ResourceName":"","Configs":[{"Name":"min.insync.replicas","Op":"DELETE"}]}`, protocol.InvalidConfig, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."},
		{"logger", `{"ResourceType":"BROKER_LOGGER","ResourceName":"1","Configs":[]}`, protocol.InvalidRequest, "Unknown resource type 8"},
		{"default group", `{"ResourceType":"GROUP_CONFIG","ResourceName":"","Configs":[]}`, protocol.InvalidRequest, "Default group resources are not allowed."},
		{"no subscription", `{"ResourceType":"CLIENT_METRICS","ResourceName":"","Configs":[]}`, protocol.InvalidRequest, "Subscription name can't be empty"},
		{"subscription's config", `{"ResourceType":"CLIENT_METRICS","ResourceName":"s","Configs":[{"Name":"x","Op":"SET","Value":"5"}]}`, protocol.InvalidRequest, "Unknown client metrics configuration: x"},
		{"interval", `{"ResourceType":"CLIENT_METRICS","ResourceName":"s","Configs":[{"Name":"interval.ms","Op":"SET","Value":"99"}]}`, protocol.InvalidRequest, "Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)"},
		{"no interval", `{"ResourceType":"CLIENT_METRICS","ResourceName":"s","Configs":[{"Name":"interval.ms","Op":"SET","Value":"x"}]}`, protocol.InvalidConfig, "Invalid value x for configuration interval.ms: Not a number of type INT"},
		{"match", `{"ResourceType":"CLIENT_METRICS","ResourceName":"s","Configs":[{"Name":"match","Op":"SET","Value":"client_id=a,client_id"}]}`, protocol.InvalidConfig, "Illegal client matching pattern: client_id"},
		{"match's name", `{"ResourceType":"CLIENT_METRICS","ResourceName":"s","Configs":[{"Name":"match","Op":"SET","Value":"x=y"}]}`, protocol.InvalidConfig, "Illegal client matching pattern: x=y"},
		{"match's pattern", `{"ResourceType":"CLIENT_METRICS","ResourceName":"s","Configs":[{"Name":"match","Op":"SET","Value":"client_id=("}]}`, protocol.InvalidConfig, "Illegal client matching pattern: client_id=("},
	} {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{*fromJSON(t, &kmsg.IncrementalAlterConfigsRequestResource{}, f.request)}
		untouched(t, c, func() {
			r := c.IncrementalAlterConfigs(context.Background(), req).Resources[0]
			f.check(t, r.ErrorCode, r.ErrorMessage)
		})
	}
	untouched(t, c, func() {
		resp := c.AlterConfigs(context.Background(), fromJSON(t, kmsg.NewPtrAlterConfigsRequest(),
			`{"Resources":[{"ResourceType":"TOPIC","ResourceName":"t"},{"ResourceType":"TOPIC","ResourceName":"t"},{"ResourceType":"TOPIC","ResourceName":"u"},
			{"ResourceType":"TOPIC","ResourceName":"v","Configs":[{"Name":"retention.ms","Value":null}]}]}`))
		var got []string
		for _, r := range resp.Resources {
			got = append(got, deref(r.ErrorMessage))
		}
		want := []string{"Each resource must appear at most once.", "Each resource must appear at most once.", "The topic 'u' does not exist.", "Null value not supported for : retention.ms"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

func TestUpdateFeatures(t *testing.T) {
	const prefix = "The update failed for all features since the following feature had an error: "
	for _, f := range []failure{
		{"same", `{"FeatureUpdates":[{"Feature":"group.version","MaxVersionLevel":1,"UpgradeType":1}]}`, protocol.None, "<null>"},
		{"dry run", `{"ValidateOnly":true,"FeatureUpdates":[{"Feature":"group.version","MaxVersionLevel":0,"UpgradeType":2}]}`, protocol.None, "<null>"},
		{"kraft.version", `{"FeatureUpdates":[{"Feature":"kraft.version","MaxVersionLevel":1,"UpgradeType":1}]}`, protocol.None, "<null>"},
		{"above", `{"FeatureUpdates":[{"Feature":"group.version","MaxVersionLevel":2,"UpgradeType":1}]}`, protocol.InvalidUpdateVersion, prefix + "Invalid update version 2 for feature group.version. Local controller 1 only supports versions 0-1"},
		{"unknown", `{"FeatureUpdates":[{"Feature":"x","MaxVersionLevel":1,"UpgradeType":1}]}`, protocol.InvalidUpdateVersion, prefix + "Invalid update version 1 for feature x. Local controller 1 does not support this feature."},
		{"negative", `{"FeatureUpdates":[{"Feature":"group.version","MaxVersionLevel":-1,"UpgradeType":1}]}`, protocol.InvalidUpdateVersion, prefix + "Invalid update version -1 for feature group.version. A feature version cannot be less than 0."},
		{"type", `{"FeatureUpdates":[{"Feature":"group.version","MaxVersionLevel":1,"UpgradeType":0}]}`, protocol.InvalidUpdateVersion, prefix + "Invalid update version 1 for feature group.version. The controller does not support the given upgrade type."},
		{"down", `{"FeatureUpdates":[{"Feature":"group.version","MaxVersionLevel":0,"UpgradeType":1}]}`, protocol.InvalidUpdateVersion, prefix + "Invalid update version 0 for feature group.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."},
		{"metadata down", `{"FeatureUpdates":[{"Feature":"metadata.version","MaxVersionLevel":29,"UpgradeType":2}]}`, protocol.InvalidUpdateVersion, prefix + "Unsupported metadata.version downgrade from 30 to 29. Refusing to perform the requested downgrade because it might delete metadata information."},
		{"metadata down unsafely", `{"FeatureUpdates":[{"Feature":"metadata.version","MaxVersionLevel":7,"UpgradeType":3}]}`, protocol.InvalidUpdateVersion, prefix + "Unsupported metadata.version downgrade from 30 to 7. Unsafe metadata downgrade is not supported in this version."},
		{"metadata low", `{"FeatureUpdates":[{"Feature":"metadata.version","MaxVersionLevel":6,"UpgradeType":2}]}`, protocol.InvalidUpdateVersion, prefix + "Invalid update version 6 for feature metadata.version. Local controller 1 only supports versions 7-30"},
		{"kraft down", `{"FeatureUpdates":[{"Feature":"kraft.version","MaxVersionLevel":0,"UpgradeType":2}]}`, protocol.InvalidUpdateVersion, prefix + "Invalid update version 0 for feature kraft.version. Can't downgrade the version of this feature."},
		{"one of two", `{"FeatureUpdates":[{"Feature":"group.version","MaxVersionLevel":0,"UpgradeType":2},{"Feature":"share.version","MaxVersionLevel":9,"UpgradeType":1}]}`, protocol.InvalidUpdateVersion, prefix + "Invalid update version 9 for feature share.version. Local controller 1 only supports versions 0-1"},
	} {
		c, _ := oneNode(t)
		before := fmt.Sprint(finalized(c.Image()))
		req := fromJSON(t, kmsg.NewPtrUpdateFeaturesRequest(), f.request)
		req.Version = 2
		resp := c.UpdateFeatures(context.Background(), req)
		f.check(t, resp.ErrorCode, resp.ErrorMessage)
		if after := fmt.Sprint(finalized(c.Image())); after != before {
			t.Errorf("%s: features %s, before %s", f.name, after, before)
		}
	}
}

func finalized(img *metadata.Image) map[string]int16 {
	out := map[string]int16{}
	for name, level := range img.Features() {
		out[name] = level
	}
	return out
}

// TestUpdateFeaturesChanges takes ELR away and gives it back: min.insync.replicas
// of single brokers, which may exist in between, goes first.
func TestUpdateFeaturesChanges(t *testing.T) {
	c, _ := oneNode(t)
	update := func(level int16, kind int8) *kmsg.UpdateFeaturesResponse {
		req := kmsg.NewPtrUpdateFeaturesRequest()
		req.Version = 1
		req.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: metadata.FeatureELRVersion, MaxVersionLevel: level, UpgradeType: kind}}
		return c.UpdateFeatures(context.Background(), req)
	}
	if resp := update(0, safeDowngrade); resp.ErrorCode != 0 || len(resp.Results) != 1 || c.Image().Feature(metadata.FeatureELRVersion) != 0 {
		t.Fatalf("%+v", resp)
	}
	alter := fromJSON(t, kmsg.NewPtrIncrementalAlterConfigsRequest(), `{"Resources":[{"ResourceType":"BROKER","ResourceName":"1","Configs":[{"Name":"min.insync.replicas","Op":"SET","Value":"1"}]},
		{"ResourceType":"BROKER","ResourceName":"","Configs":[{"Name":"min.insync.replicas","Op":"DELETE"}]}]}`)
	for _, r := range c.IncrementalAlterConfigs(context.Background(), alter).Resources {
		if r.ErrorCode != 0 {
			t.Fatalf("%+v %s", r, deref(r.ErrorMessage))
		}
	}
	if resp := update(1, upgrade); resp.ErrorCode != 0 || c.Image().Feature(metadata.FeatureELRVersion) != 1 {
		t.Fatalf("%+v", resp)
	}
	one, all := c.Image().Configs(metadata.ResourceBroker, "1"), c.Image().Configs(metadata.ResourceBroker, "")
	if len(one) != 0 || all[minISRKey] != "1" {
		t.Errorf("broker %v, all %v", one, all)
	}
	req := kmsg.NewPtrUpdateFeaturesRequest() // version 0 has no upgrade type
	req.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: metadata.FeatureGroupVersion, MaxVersionLevel: 1}}
	if resp := c.UpdateFeatures(context.Background(), req); resp.ErrorCode != 0 {
		t.Errorf("version 0: %+v", resp)
	}
}

func TestRegistrationErrors(t *testing.T) {
	c, _ := oneNode(t)
	for _, row := range []struct {
		name   string
		change func(*kmsg.BrokerRegistrationRequest)
		want   protocol.Code
	}{
		{"other cluster", func(r *kmsg.BrokerRegistrationRequest) { r.ClusterID = "x" }, protocol.InconsistentClusterID},
		{"ZooKeeper", func(r *kmsg.BrokerRegistrationRequest) { r.IsMigratingZkBroker = true }, protocol.BrokerIDNotRegistered},
		{"no log dirs", func(r *kmsg.BrokerRegistrationRequest) { r.LogDirs = nil }, protocol.InvalidRegistration},
		{"reserved log dir", func(r *kmsg.BrokerRegistrationRequest) { r.LogDirs = [][16]byte{{15: 99}} }, protocol.InvalidRegistration},
		{"log dir twice", func(r *kmsg.BrokerRegistrationRequest) { r.LogDirs = append(r.LogDirs, r.LogDirs[0]) }, protocol.InvalidRegistration},
		{"another's log dir", func(r *kmsg.BrokerRegistrationRequest) { r.LogDirs = [][16]byte{uuid(0xd, 1)} }, protocol.InvalidRegistration},
		{"no metadata.version", func(r *kmsg.BrokerRegistrationRequest) { r.Features = append(r.Features[:3:3], r.Features[4:]...) }, protocol.InvalidRegistration},
		{"feature too low", func(r *kmsg.BrokerRegistrationRequest) { r.Features[6].MaxSupportedVersion = 1 }, protocol.UnsupportedVersion},
		{"feature missing", func(r *kmsg.BrokerRegistrationRequest) { r.Features = r.Features[:6] }, protocol.UnsupportedVersion},
		{"kraft.version too low", func(r *kmsg.BrokerRegistrationRequest) { r.Features[2].MaxSupportedVersion = 0 }, protocol.UnsupportedVersion},
	} {
		req := registration(2, 1)
		row.change(req)
		untouched(t, c, func() {
			if resp := c.RegisterBroker(context.Background(), req); protocol.Code(resp.ErrorCode) != row.want || resp.BrokerEpoch != -1 {
				t.Errorf("%s: %+v, want %s", row.name, resp, row.want.Name())
			}
		})
	}
	// The same incarnation may amend its registration, and keeps its epoch.
	before := c.Image().Broker(1)
	req := registration(1, 1)
	req.Listeners[0].Port = 1234
	resp := c.RegisterBroker(context.Background(), req)
	if after := c.Image().Broker(1); resp.ErrorCode != 0 || resp.BrokerEpoch != before.Epoch || after.Fenced || after.Listeners[0].Port != 1234 {
		t.Errorf("%+v %+v", resp, after)
	}
}

func TestStaleBrokerEpochs(t *testing.T) {
	c, _ := oneNode(t)
	epoch := c.Image().Broker(1).Epoch
	untouched(t, c, func() {
		for _, id := range []int32{1, 2} {
			beat := c.BrokerHeartbeat(context.Background(), &kmsg.BrokerHeartbeatRequest{BrokerID: id, BrokerEpoch: epoch - 1, WantFence: true})
			ids := c.AllocateProducerIDs(context.Background(), &kmsg.AllocateProducerIDsRequest{BrokerID: id, BrokerEpoch: epoch - 1})
			dirs := c.AssignReplicasToDirs(context.Background(), &kmsg.AssignReplicasToDirsRequest{BrokerID: id, BrokerEpoch: epoch - 1})
			for api, got := range map[string]int16{"heartbeat": beat.ErrorCode, "producer ids": ids.ErrorCode, "directories": dirs.ErrorCode} {
				if protocol.Code(got) != protocol.StaleBrokerEpoch {
					t.Errorf("broker %d: %s: %d", id, api, got)
				}
			}
		}
	})
}

// TestProducerIDs: no id twice (T1), whatever leader hands them out.
func TestProducerIDs(t *testing.T) {
	c, q := oneNode(t)
	next := int64(-1)
	for i := range 20 {
		if i%5 == 4 {
			q.depose(2)
			q.lead()
		}
		resp := c.AllocateProducerIDs(context.Background(), &kmsg.AllocateProducerIDsRequest{BrokerID: 1, BrokerEpoch: c.Image().Broker(1).Epoch})
		if resp.ErrorCode != 0 || next >= 0 && resp.ProducerIDStart != next || resp.ProducerIDLen != math.MaxInt32 {
			t.Fatalf("%d: %+v, want from %d", i, resp, next)
		}
		next = resp.ProducerIDStart + int64(resp.ProducerIDLen)
	}
	if first := next - 20*math.MaxInt32; first < 1<<40 || first >= firstProducerIDs {
		t.Errorf("the first block begins at %d, which is not at random", first)
	}
}

// TestLastProducerIDs: the fewer ids are left, the shorter are the blocks, and
// the last one ends with the last id.
func TestLastProducerIDs(t *testing.T) {
	c, _ := oneNode(t)
	v := c.view()
	allocate := func(next int64) (first, end int64, err error) {
		img, _, err := v.img.Apply([]metadata.Message{&metadata.ProducerIdsRecord{NextProducerID: next}}, v.img.Offset+1, 1)
		if err != nil {
			t.Fatal(err)
		}
		then := *v
		then.img = img
		records, resp, err := allocateProducerIDs(&then, &kmsg.AllocateProducerIDsRequest{BrokerID: 1, BrokerEpoch: img.Broker(1).Epoch})
		if err != nil {
			return 0, 0, err
		}
		end = records[0].(*metadata.ProducerIdsRecord).NextProducerID
		if resp.ProducerIDStart+int64(resp.ProducerIDLen) != end {
			t.Errorf("from %d: %+v, but the record says %d", next, resp, end)
		}
		return resp.ProducerIDStart, end, nil
	}
	for next, want := range map[int64]int64{
		1000: math.MaxInt32, math.MaxInt64 - 1<<50: 1 << 19, math.MaxInt64 - 1<<40: 1000, math.MaxInt64 - 1000: 1000,
	} {
		if first, end, err := allocate(next); err != nil || first != next || end-first != want {
			t.Errorf("from %d: %d to %d, %v; want %d ids", next, first, end, err, want)
		}
	}
	if _, _, err := allocate(math.MaxInt64 - 999); protocol.CodeOf(err) != protocol.UnknownServerError {
		t.Errorf("beyond the last id: %v", err)
	}
}
