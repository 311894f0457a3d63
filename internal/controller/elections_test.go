package controller

import (
	"testing"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// partitionOf is a view of brokers 1 to 3, of which only some are live, and of
// the topic t with one partition.
func partitionOf(t *testing.T, live []int32, p metadata.PartitionRecord, features ...metadata.Message) *view {
	t.Helper()
	cfg, err := config.Load(config.Sources{Set: []string{"node.id=1"}})
	if err != nil {
		t.Fatal(err)
	}
	p.TopicID, p.LeaderEpoch, p.PartitionEpoch = uuid(0xe, 1), 5, 9
	p.Directories = make([]metadata.UUID, len(p.Replicas))
	records := append(features, &metadata.TopicRecord{Name: "t", TopicID: p.TopicID})
	for id := int32(1); id <= 3; id++ {
		fenced := true
		for _, l := range live {
			fenced = fenced && l != id
		}
		dir := uuid(0xd, byte(id))
		records = append(records, &metadata.RegisterBrokerRecord{BrokerID: id, Fenced: fenced, LogDirs: []metadata.UUID{dir}})
		for i, r := range p.Replicas {
			if r == id {
				p.Directories[i] = dir
			}
		}
	}
	img, _, err := metadata.Empty().Apply(append(records, &p), int64(len(records)), 1)
	if err != nil {
		t.Fatal(err)
	}
	return &view{img: img, nodeID: 1, cfg: cfg}
}

var elrOn = &metadata.FeatureLevelRecord{Name: metadata.FeatureELRVersion, FeatureLevel: 1}

func setting(name, value string) *metadata.ConfigRecord {
	return &metadata.ConfigRecord{ResourceType: metadata.ResourceTopic, ResourceName: "t", Name: name, Value: &value}
}

// TestElections: who leads after an election that was asked for.
func TestElections(t *testing.T) {
	two := setting(minISRKey, "2")
	for _, row := range []struct {
		name      string
		live      []int32
		partition metadata.PartitionRecord
		features  []metadata.Message
		kind      election
		want      string // the record, or the error
	}{
		{"preferred in sync", []int32{1, 2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{2, 1}, Leader: 2}, nil, electPreferred,
			"PartitionChangeRecord PartitionID=0 Leader=1"},
		{"preferred leads", []int32{1}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{1}, Leader: 1}, nil, electPreferred, "ELECTION_NOT_NEEDED"},
		{"preferred fenced", []int32{2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{2}, Leader: 2}, nil, electPreferred, "PREFERRED_LEADER_NOT_AVAILABLE"},
		{"preferred out of sync", []int32{1, 2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{2}, Leader: 2}, nil, electPreferred, "PREFERRED_LEADER_NOT_AVAILABLE"},
		{"preferred is eligible, but another is in sync", []int32{1, 2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{2}, EligibleLeaderReplicas: []int32{1}, Leader: 2},
			[]metadata.Message{elrOn, two}, electPreferred, "PREFERRED_LEADER_NOT_AVAILABLE"},
		{"preferred is eligible, and nobody is in sync", []int32{1, 2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, EligibleLeaderReplicas: []int32{2, 1}, LastKnownELR: []int32{2}, Leader: -1},
			[]metadata.Message{elrOn, two}, electPreferred,
			"PartitionChangeRecord PartitionID=0 ISR=[1] Leader=1 EligibleLeaderReplicas=[2] LastKnownELR=[]"},
		{"unclean takes what lives", []int32{3}, metadata.PartitionRecord{Replicas: []int32{1, 2, 3}, ISR: []int32{1}, Leader: -1}, nil, electUnclean,
			"PartitionChangeRecord PartitionID=0 ISR=[3] Leader=3 LeaderRecoveryState=1"},
		{"unclean prefers what is in sync", []int32{2, 3}, metadata.PartitionRecord{Replicas: []int32{3, 2, 1}, ISR: []int32{2}, Leader: -1}, nil, electUnclean,
			"PartitionChangeRecord PartitionID=0 Leader=2"},
		{"unclean with a leader", []int32{1}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{1}, Leader: 1}, nil, electUnclean, "ELECTION_NOT_NEEDED"},
		{"unclean with nobody", nil, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{1}, Leader: -1}, nil, electUnclean, "ELIGIBLE_LEADERS_NOT_AVAILABLE"},
		{"the last leader only when nobody is in sync", []int32{2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{1}, LastKnownELR: []int32{2}, Leader: -1}, []metadata.Message{elrOn}, electPreferred, "PREFERRED_LEADER_NOT_AVAILABLE"},
		{"unclean takes the last leader first", []int32{1, 2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, LastKnownELR: []int32{2}, Leader: -1}, []metadata.Message{elrOn}, electUnclean,
			"PartitionChangeRecord PartitionID=0 ISR=[2] Leader=2 LeaderRecoveryState=1 LastKnownELR=[]"},
	} {
		v := partitionOf(t, row.live, row.partition, row.features...)
		m, err := electLeader(v, "t", 0, row.kind)
		got := protocol.CodeOf(err).Name()
		if err == nil {
			m.(*metadata.PartitionChangeRecord).TopicID = metadata.UUID{}
			got = metadata.Format(m)
		}
		if got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got, row.want)
		}
	}
}

// TestBrokerLost: what becomes of a partition whose leader, broker 1, is lost.
func TestBrokerLost(t *testing.T) {
	unclean := setting(uncleanKey, "true")
	for _, row := range []struct {
		name      string
		live      []int32
		partition metadata.PartitionRecord
		features  []metadata.Message
		died      bool // without its unflushed records, else fenced
		want      string
	}{
		{"another in sync", []int32{2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{1, 2}, Leader: 1}, []metadata.Message{elrOn}, false,
			"ISR=[2] Leader=2"},
		{"nobody else", nil, metadata.PartitionRecord{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}, []metadata.Message{elrOn}, false,
			"ISR=[] Leader=-1 EligibleLeaderReplicas=[1] LastKnownELR=[1]"},
		{"nobody else, without ELR", nil, metadata.PartitionRecord{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}, nil, false,
			"Leader=-1"},
		{"nobody else, and it lost records", nil, metadata.PartitionRecord{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}, []metadata.Message{elrOn}, true,
			"ISR=[] Leader=-1 LastKnownELR=[1]"},
		{"another lives, out of sync", []int32{2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{1}, Leader: 1}, []metadata.Message{elrOn}, false,
			"ISR=[] Leader=-1 EligibleLeaderReplicas=[1] LastKnownELR=[1]"},
		{"the same, unclean allowed", []int32{2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{1}, Leader: 1}, []metadata.Message{elrOn, unclean}, false,
			"ISR=[2] Leader=2 LeaderRecoveryState=1"},
		{"below min.insync.replicas", []int32{2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{1, 2}, Leader: 1}, []metadata.Message{elrOn, setting(minISRKey, "2")}, false,
			"ISR=[2] Leader=2 EligibleLeaderReplicas=[1]"},
		{"not in it", []int32{2}, metadata.PartitionRecord{Replicas: []int32{1, 2}, ISR: []int32{2}, Leader: 2}, []metadata.Message{elrOn}, false, ""},
	} {
		v := partitionOf(t, row.live, row.partition, row.features...)
		remove, dead := int32(1), metadata.NoLeader
		if row.died {
			remove, dead = dead, remove
		}
		got := ""
		for _, m := range leaderChanges(v, remove, dead, inISR(1)) {
			change := m.(*metadata.PartitionChangeRecord)
			change.TopicID, change.PartitionID = metadata.UUID{}, -1
			got += metadata.Format(change)
		}
		want := row.want
		if want != "" {
			want = "PartitionChangeRecord " + want
		}
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got, want)
		}
	}
}

// TestCleanShutdown: who is trusted to have all that it ever wrote (R11).
func TestCleanShutdown(t *testing.T) {
	a, b, other := uuid(0xd, 1), uuid(0xd, 2), uuid(0xd, 3)
	old := &metadata.Broker{Epoch: 7, LogDirs: []metadata.UUID{a, b}}
	for _, row := range []struct {
		name       string
		durability string
		old        *metadata.Broker
		version    int16
		previous   int64
		dirs       []metadata.UUID
		want       bool
	}{
		{"durable, all log dirs", "fsync", old, 4, -1, []metadata.UUID{b, a}, true},
		{"durable, one more", "fsync", old, 4, -1, []metadata.UUID{b, a, other}, true},
		{"durable, one lost", "fsync", old, 4, -1, []metadata.UUID{a}, false},
		{"durable, one lost, stopped in order", "fsync", old, 4, 7, []metadata.UUID{a}, true},
		{"page cache", "page-cache", old, 4, -1, []metadata.UUID{a, b}, false},
		{"page cache, stopped in order", "page-cache", old, 4, 7, []metadata.UUID{a, b}, true},
		{"page cache, an older order", "page-cache", old, 4, 6, []metadata.UUID{a, b}, false},
		{"page cache, an old broker cannot say", "page-cache", old, 2, 7, []metadata.UUID{a, b}, false},
		{"unknown", "fsync", nil, 4, -1, []metadata.UUID{a, b}, false},
	} {
		cfg, err := config.Load(config.Sources{Set: []string{"node.id=1", "ottla.durability=" + row.durability}})
		if err != nil {
			t.Fatal(err)
		}
		req := registration(1, 2)
		req.Version, req.PreviousBrokerEpoch, req.LogDirs = row.version, row.previous, row.dirs
		if got := cleanShutdown(&view{cfg: cfg}, row.old, req); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}
