package config

import (
	"strings"
	"testing"
	"time"
)

// TestConsumerGroup: a group's own configs have priority over the broker's,
// within the broker's bounds.
func TestConsumerGroup(t *testing.T) {
	b := mustLoad(t, "group.consumer.max.session.timeout.ms=50000\ngroup.consumer.migration.policy=upgrade\ngroup.consumer.assignors=range\ngroup.coordinator.rebalance.protocols=classic")
	for name, test := range map[string]struct {
		configs map[string]string
		want    ConsumerGroup
	}{
		"none":    {nil, ConsumerGroup{45 * time.Second, 5 * time.Second, time.Second}},
		"own":     {map[string]string{"consumer.session.timeout.ms": "46000", "consumer.heartbeat.interval.ms": "7000", "consumer.assignment.interval.ms": "0"}, ConsumerGroup{46 * time.Second, 7 * time.Second, 0}},
		"bounds":  {map[string]string{"consumer.session.timeout.ms": "60000", "consumer.heartbeat.interval.ms": "1"}, ConsumerGroup{50 * time.Second, 5 * time.Second, time.Second}},
		"no int":  {map[string]string{"consumer.session.timeout.ms": "x"}, ConsumerGroup{45 * time.Second, 5 * time.Second, time.Second}},
		"another": {map[string]string{"share.session.timeout.ms": "46000"}, ConsumerGroup{45 * time.Second, 5 * time.Second, time.Second}},
	} {
		if got := b.ConsumerGroup(test.configs); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
	if g := b.ConsumerGroups; !g.Upgrade || g.Downgrade || g.Enabled || len(g.Assignors) != 1 || g.Assignors[0] != "range" || g.RegexRefresh != 10*time.Minute {
		t.Errorf("%+v", g)
	}
	if g := mustLoad(t, "").ConsumerGroups; !g.Upgrade || !g.Downgrade || !g.Enabled {
		t.Errorf("%+v", g)
	}
}

// TestAssignors: an unsupported class is refused; Kafka's own assignors are
// supported.
func TestAssignors(t *testing.T) {
	b := mustLoad(t, "group.consumer.assignors=org.apache.kafka.coordinator.group.assignor.RangeAssignor,uniform")
	if got := b.ConsumerGroups.Assignors; len(got) != 2 || got[0] != "range" || got[1] != "uniform" {
		t.Errorf("%q", got)
	}
	if _, err := Load(Sources{Set: []string{"group.consumer.assignors=uniform,com.example.Mine"}}); err == nil || !strings.Contains(err.Error(), "com.example.Mine") {
		t.Errorf("error %v", err)
	}
}
