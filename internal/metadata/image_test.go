package metadata

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// flatten converts the content of an Image to a comparable map, using only its
// public methods.
func flatten(img *Image) map[string]string {
	out := map[string]string{"producer id": fmt.Sprint(img.NextProducerID())}
	for t := range img.Topics() {
		out["topic "+t.Name] = FormatUUID(t.ID)
		if img.TopicByID(t.ID) != t || img.TopicByName(t.Name) != t {
			out["topic "+t.Name] = "the two maps of topics differ"
		}
		for p := range t.Partitions() {
			out[fmt.Sprintf("partition %s-%d", t.Name, p.ID)] = fmt.Sprintf("%+v", *p)
		}
	}
	for b := range img.Brokers() {
		rack := "none"
		if b.Rack != nil {
			rack = *b.Rack
		}
		c := *b
		c.Rack = nil
		out[fmt.Sprintf("broker %d", b.ID)] = fmt.Sprintf("%+v rack=%q", c, rack)
	}
	for id, c := range img.Controllers() {
		out[fmt.Sprintf("controller %d", id)] = Format(c)
	}
	for at, configs := range img.AllConfigs() {
		for name, value := range configs {
			out[fmt.Sprintf("config %d %q %s", at.Type, at.Name, name)] = value
		}
	}
	for name, level := range img.Features() {
		out["feature "+name] = fmt.Sprint(level)
	}
	for q := range img.ClientQuotas() {
		for key, value := range q.Values {
			out["quota "+quotaKey(q.Entity)+" "+key] = fmt.Sprint(value)
		}
	}
	for a := range img.ACLs() {
		out["acl "+FormatUUID(a.ID)] = Format(a)
	}
	for c := range img.SCRAMCredentials() {
		out[fmt.Sprintf("scram %q %d", c.Name, c.Mechanism)] = Format(c)
	}
	for t := range img.DelegationTokens() {
		out["token "+t.TokenID] = Format(t)
	}
	if img.open != nil {
		out["transaction"] = fmt.Sprint(Format(img.open.begin), len(img.open.records))
	}
	return out
}

func diffMaps(got, want map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			fmt.Fprintf(&b, "%s\n  got  %s\n  want %s\n", key, got[key], want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			fmt.Fprintf(&b, "%s\n  got  %s\n  want nothing\n", key, got[key])
		}
	}
	return b.String()
}

// TestImageProperties applies random changes and checks after each of them: the
// model and the Image agree; the Image's records rebuild it (M8); the Delta
// equals the comparison of the whole Images; no earlier Image has changed.
func TestImageProperties(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { propertyRun(t, seed) })
	}
}

func propertyRun(t *testing.T, seed uint64) {
	s := newStory(seed)
	img := Empty()
	type kept struct {
		img  *Image
		flat map[string]string
	}
	var before []kept
	offset := int64(-1)
	for step := range 25 {
		records := s.batch()
		offset += int64(len(records))
		next, delta, err := img.Apply(records, offset, 1)
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		flat := flatten(next)
		if d := diffMaps(flat, s.model.flat()); d != "" {
			t.Fatalf("step %d: the image is not the model's\n%s", step, d)
		}
		rebuilt, _, err := Empty().Replace(slices.Collect(next.Records()), offset, 1)
		if err != nil {
			t.Fatalf("step %d: rebuild: %v", step, err)
		}
		if d := diffMaps(flatten(rebuilt), flat); d != "" {
			t.Fatalf("step %d: Records lost something\n%s", step, d)
		}
		if full := Diff(img, next); !reflect.DeepEqual(delta, full) {
			t.Fatalf("step %d: delta\ngot  %+v\nwant %+v", step, delta, full)
		}
		if delta.Empty() != (diffMaps(flatten(img), flat) == "") {
			t.Fatalf("step %d: Delta.Empty is %v", step, delta.Empty())
		}
		before = append(before, kept{next, flat})
		img = next
	}
	for i, k := range before {
		if d := diffMaps(flatten(k.img), k.flat); d != "" {
			t.Fatalf("the image of step %d changed afterwards\n%s", i, d)
		}
	}
}

// TestReplaceSaysWhatASnapshotChanged checks the Delta for a lagging node that
// gets a snapshot.
func TestReplaceSaysWhatASnapshotChanged(t *testing.T) {
	s := newStory(7)
	var images []*Image
	img := Empty()
	for i := range 30 {
		img, _, _ = img.Apply(s.batch(), int64(i), 1)
		images = append(images, img)
	}
	old, last := images[9], images[29]
	got, delta, err := old.Replace(slices.Collect(last.Records()), 29, 3)
	if err != nil {
		t.Fatal(err)
	}
	if d := diffMaps(flatten(got), flatten(last)); d != "" {
		t.Fatal(d)
	}
	if want := Diff(old, last); len(delta.Topics) != len(want.Topics) || !slices.Equal(delta.Configs, want.Configs) {
		t.Errorf("got  %+v\nwant %+v", delta, want)
	}
	if got.Offset != 29 || got.Epoch != 3 {
		t.Errorf("offset %d epoch %d", got.Offset, got.Epoch)
	}
}

// TestConcurrentUse reads published Images while two goroutines derive new ones
// from the same Image. It relies on the race detector.
func TestConcurrentUse(t *testing.T) {
	img := topics(t, 50)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 20 {
				if n := len(flatten(img)); n < 100 {
					t.Errorf("%d entries", n)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for i := range 200 {
				if _, _, err := img.Apply([]Message{change(i % 50)}, img.Offset+1, 1); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func topicID(i int) UUID { return UUID{0: byte(i >> 16), 1: byte(i >> 8), 2: byte(i), 15: 9} }

// topics returns an Image with n topics of one partition each.
func topics(t testing.TB, n int) *Image {
	var records []Message
	for i := range n {
		records = append(records, &TopicRecord{Name: fmt.Sprintf("topic-%d", i), TopicID: topicID(i)},
			&PartitionRecord{TopicID: topicID(i), Replicas: []int32{1}, ISR: []int32{1}, Leader: 1})
	}
	img, _, err := Empty().Apply(records, int64(len(records)-1), 1)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func change(i int) *PartitionChangeRecord {
	m := NewPartitionChangeRecord()
	m.PartitionID, m.TopicID, m.Leader = 0, topicID(i), 1
	return m
}

// TestChangeCostsItsSize measures what one changed partition allocates among
// 100 and among 10,000 topics. It may grow with the depth of the tree, not with
// the number of topics.
func TestChangeCostsItsSize(t *testing.T) {
	small, large := bytesPerChange(t, 100), bytesPerChange(t, 10_000)
	t.Logf("bytes per change: %d among 100 topics, %d among 10,000", small, large)
	if large > 12<<10 || large > 3*small {
		t.Errorf("one change among 10,000 topics allocates %d bytes, among 100 %d", large, small)
	}
}

func bytesPerChange(t *testing.T, n int) uint64 {
	img := topics(t, n)
	const rounds = 200
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range rounds {
		next, _, err := img.Apply([]Message{change(i * 7919 % n)}, img.Offset+1, 1)
		if err != nil {
			t.Fatal(err)
		}
		img = next
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / rounds
}

// BenchmarkChange applies a change of one partition among 10,000 topics.
func BenchmarkChange(b *testing.B) {
	img := topics(b, 10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		next, _, err := img.Apply([]Message{change(i % 10_000)}, img.Offset+1, 1)
		if err != nil {
			b.Fatal(err)
		}
		img = next
	}
}

// TestApplyErrors lists records that do not fit the Image. The Image must not
// change.
func TestApplyErrors(t *testing.T) {
	img := topics(t, 2)
	img, _, err := img.Apply([]Message{&RegisterBrokerRecord{BrokerID: 1, BrokerEpoch: 10}}, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	missing := UUID{1, 2, 3}
	other := change(0)
	other.PartitionID = 9
	wrong := change(0)
	wrong.Directories = []UUID{{1}, {2}}
	for _, m := range []Message{
		&TopicRecord{Name: "topic-0", TopicID: missing}, &TopicRecord{Name: "other", TopicID: topicID(0)},
		&PartitionRecord{TopicID: missing}, &PartitionRecord{TopicID: topicID(0), Replicas: []int32{1}, Directories: []UUID{{1}, {2}}},
		&PartitionChangeRecord{TopicID: missing}, other, wrong, &RemoveTopicRecord{TopicID: missing},
		&ClearElrRecord{TopicName: "none"}, &FenceBrokerRecord{ID: 2}, &UnfenceBrokerRecord{ID: 1, Epoch: 9},
		&BrokerRegistrationChangeRecord{BrokerID: 1, BrokerEpoch: 11}, &BrokerRegistrationChangeRecord{BrokerID: 1, BrokerEpoch: 10, Fenced: 3},
		&BrokerRegistrationChangeRecord{BrokerID: 1, BrokerEpoch: 10, InControlledShutdown: 2},
		&RemoveAccessControlEntryRecord{ID: missing}, &EndTransactionRecord{}, &AbortTransactionRecord{},
	} {
		before := flatten(img)
		next, delta, err := img.Apply([]Message{&NoOpRecord{}, m}, 6, 1)
		var apply *ApplyError
		if !errors.As(err, &apply) || !errors.Is(err, ErrInconsistent) || apply.Offset != 6 || next != nil || delta != nil {
			t.Errorf("%s: %v", Format(m), err)
		}
		if d := diffMaps(flatten(img), before); d != "" {
			t.Errorf("%s changed the image:\n%s", Format(m), d)
		}
	}
}

// TestTransaction checks that a transaction has no effect before its end, which
// may be in another Apply, and that an aborted one has no effect.
func TestTransaction(t *testing.T) {
	name, reason := "Bootstrap records", "Controller failover"
	img, delta, err := Empty().Apply([]Message{
		&BeginTransactionRecord{Name: &name}, &FeatureLevelRecord{Name: FeatureMetadataVersion, FeatureLevel: 30},
	}, 1, 1)
	if err != nil || !img.InTransaction() || img.MetadataVersion() != 0 || !delta.Empty() {
		t.Fatalf("%v, open %v, level %d, delta %+v", err, img.InTransaction(), img.MetadataVersion(), delta)
	}
	aborted, delta, err := img.Apply([]Message{&AbortTransactionRecord{Reason: &reason}}, 2, 1)
	if err != nil || aborted.InTransaction() || aborted.MetadataVersion() != 0 || !delta.Empty() {
		t.Fatalf("aborted: %v %+v", err, delta)
	}
	ended, delta, err := img.Apply([]Message{&FeatureLevelRecord{Name: FeatureGroupVersion, FeatureLevel: 1}, &EndTransactionRecord{}}, 3, 1)
	if err != nil || ended.InTransaction() || ended.MetadataVersion() != 30 || len(delta.Features) != 2 {
		t.Fatalf("ended: %v, level %d, delta %+v", err, ended.MetadataVersion(), delta)
	}
	if _, _, err := img.Apply([]Message{&BeginTransactionRecord{}}, 2, 1); !errors.Is(err, ErrInconsistent) {
		t.Errorf("a second transaction: %v", err)
	}
	if _, _, err := img.Apply([]Message{&RemoveTopicRecord{}, &EndTransactionRecord{}}, 3, 1); !errors.Is(err, ErrInconsistent) {
		t.Errorf("a wrong record in a transaction: %v", err)
	}
}

// TestRecordsOrder checks that metadata.version is the first record of a
// snapshot.
func TestRecordsOrder(t *testing.T) {
	img, _, err := Empty().Apply([]Message{
		&FeatureLevelRecord{Name: FeatureELRVersion, FeatureLevel: 1}, &ProducerIdsRecord{NextProducerID: 1000},
		&FeatureLevelRecord{Name: FeatureMetadataVersion, FeatureLevel: 30}, &FeatureLevelRecord{Name: FeatureKRaftVersion, FeatureLevel: 1},
	}, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for m := range img.Records() {
		got = append(got, Format(m))
	}
	want := []string{
		`FeatureLevelRecord Name="metadata.version" FeatureLevel=30`,
		`FeatureLevelRecord Name="eligible.leader.replicas.version" FeatureLevel=1`,
		`ProducerIdsRecord BrokerID=-1 NextProducerID=1000`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestUncleanElections checks the count of new leaders that were neither in
// sync nor eligible, except the first leader of a partition.
func TestUncleanElections(t *testing.T) {
	topic := UUID{1}
	of := func(leader int32, isr, elr []int32) []Message {
		p := NewPartitionRecord()
		p.TopicID, p.Leader, p.Replicas, p.ISR, p.EligibleLeaderReplicas = topic, leader, []int32{1, 2, 3}, isr, elr
		p.Directories = make([]UUID, 3)
		return []Message{&TopicRecord{Name: "t", TopicID: topic}, p}
	}
	for _, c := range []struct {
		what          string
		before, after []Message
		want          int
	}{
		{"created", nil, of(1, []int32{1}, nil), 0},
		{"the same", of(1, []int32{1}, nil), of(1, []int32{1, 2}, nil), 0},
		{"in sync", of(1, []int32{1, 2}, nil), of(2, []int32{2}, nil), 0},
		{"eligible", of(NoLeader, nil, []int32{3}), of(3, []int32{3}, nil), 0},
		{"unclean", of(NoLeader, []int32{1}, []int32{3}), of(2, []int32{2}, nil), 1},
		{"none", of(1, []int32{1}, nil), of(NoLeader, []int32{1}, nil), 0},
		{"gone", of(1, []int32{1}, nil), nil, 0},
	} {
		before, _, err := Empty().Apply(c.before, 10, 1)
		if err != nil {
			t.Fatal(c.what, err)
		}
		after, _, err := Empty().Apply(c.after, 10, 1)
		if err != nil {
			t.Fatal(c.what, err)
		}
		if got := Diff(before, after).UncleanElections(); got != c.want {
			t.Errorf("%s: %d", c.what, got)
		}
	}
}

// TestAtLevel checks that AtLevel returns exactly what is read back from a log
// of that level, and drops nothing at the newest level.
func TestAtLevel(t *testing.T) {
	dir := UUID{1: 7}
	records := []Message{
		&RegisterBrokerRecord{BrokerID: 1, LogDirs: []UUID{dir}, Fenced: true},
		&TopicRecord{Name: "t", TopicID: UUID{9}},
		&PartitionRecord{TopicID: UUID{9}, Replicas: []int32{1}, ISR: []int32{1}, Leader: 1, Directories: []UUID{dir}},
	}
	for _, c := range []struct {
		level       int16
		directories int
	}{{MinLevel, 0}, {DirectoriesLevel - 1, 0}, {DirectoriesLevel, 1}, {CurrentLevel, 1}} {
		got, err := AtLevel(records, c.level)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range got {
			again, err := ParseValue(AppendValueAt(nil, m, c.level))
			if err != nil || Text(again) != Text(m) {
				t.Errorf("level %d: record %d is %s, the log returns %s, %v", c.level, i, Text(m), Text(again), err)
			}
		}
		broker, partition := got[0].(*RegisterBrokerRecord), got[2].(*PartitionRecord)
		if len(broker.LogDirs) != c.directories || len(partition.Directories) != c.directories {
			t.Errorf("level %d: %s, %s", c.level, Text(broker), Text(partition))
		}
	}
	raised := append([]Message{&FeatureLevelRecord{Name: FeatureMetadataVersion, FeatureLevel: CurrentLevel}}, records...)
	if got, err := AtLevel(raised, MinLevel); err != nil || len(got[3].(*PartitionRecord).Directories) != 1 {
		t.Errorf("after a record that raises the level: %v, %v", got, err)
	}
	if len(records[2].(*PartitionRecord).Directories) != 1 {
		t.Error("the records were changed")
	}
}
