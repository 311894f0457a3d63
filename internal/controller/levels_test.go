package controller

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// oldest is an active controller of a folder that Kafka formatted at 3.3-IV3 for
// static voters.
func oldest(t *testing.T) (*Controller, *quorum) {
	t.Helper()
	c, q := newController(t)
	c.o.Bootstrap = []metadata.Message{&metadata.FeatureLevelRecord{Name: metadata.FeatureMetadataVersion, FeatureLevel: metadata.MinLevel}}
	c.o.KRaftVersion = func() int16 { return 0 }
	q.lead()
	c.background.Wait()
	start(t, c, 1)
	return c, q
}

// At an old metadata.version nothing is decided that its log cannot hold: what
// the next decision sees is what is committed.
func TestOldMetadataVersion(t *testing.T) {
	c, _ := oldest(t)
	if level := c.Image().MetadataVersion(); level != metadata.MinLevel || c.Image().Feature(metadata.FeatureGroupVersion) != 0 {
		t.Fatalf("metadata.version %d; only what Kafka's format command wrote was to be there", level)
	}
	topic := create(t, c, "t", 2)
	for p := range topic.Partitions() {
		tip := c.tip.TopicByName("t").Partition(p.ID)
		if dir, ok := p.Directory(1); !ok || dir != metadata.DirMigrating || !p.Equal(tip) {
			t.Errorf("partition %d is committed as %+v, decided as %+v", p.ID, p, tip)
		}
	}
	if b, tip := c.Image().Broker(1), c.tip.Broker(1); len(b.LogDirs) > 0 || len(tip.LogDirs) > 0 {
		t.Errorf("the registration has the log dirs %v, decided as %v", b.LogDirs, tip.LogDirs)
	}
	assign := &kmsg.AssignReplicasToDirsRequest{BrokerID: 1, BrokerEpoch: c.Image().Broker(1).Epoch}
	if code := c.AssignReplicasToDirs(context.Background(), assign).ErrorCode; code != int16(protocol.UnsupportedVersion) {
		t.Errorf("log dirs of replicas are told: %v", protocol.Code(code))
	}
	// The broker was killed and comes back: its registration cannot be told by
	// its log dirs, and it does not wait for the end of its session.
	if _, _, err := registerBroker(c.view(), registration(1, 2), false); err != nil {
		t.Errorf("the next incarnation: %v", err)
	}
}

// Static voters stay static.
func TestStaticVoters(t *testing.T) {
	c, _ := oldest(t)
	if level := c.KRaftVersion(); level != 0 {
		t.Errorf("kraft.version is %d", level)
	}
	for level, want := range map[int16]protocol.Code{0: protocol.None, 1: protocol.InvalidUpdateVersion} {
		req := kmsg.NewPtrUpdateFeaturesRequest()
		req.Version = 1
		req.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: metadata.FeatureKRaftVersion, MaxVersionLevel: level, UpgradeType: upgrade}}
		if code := c.UpdateFeatures(context.Background(), req).ErrorCode; code != int16(want) {
			t.Errorf("kraft.version %d: %v, want %v", level, protocol.Code(code), want)
		}
	}
}
