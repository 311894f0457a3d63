package differential

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/target"
	"ottla/interop/wire"
)

func TestParseScript(t *testing.T) {
	s, err := ParseScript("x", "# comment\nbroker a=b c=d\nsend one Metadata 2..3 Topics=[]\n  AllowAutoTopicCreation=true\nkeep id Topics[0].TopicID\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Broker) != 2 || len(s.Steps) != 2 {
		t.Fatalf("%+v", s)
	}
	if send := s.Steps[0]; send.Case != "one" || len(send.Versions) != 2 || send.Text != "Topics=[] AllowAutoTopicCreation=true" {
		t.Errorf("%+v", send)
	}
	if keep := s.Steps[1]; keep.Case != "id" || keep.Text != "Topics[0].TopicID" {
		t.Errorf("%+v", keep)
	}
	for _, wrong := range []string{
		"jump", "send a NoSuchAPI 1", "send a Metadata x", "send a Metadata 3..2",
		"send a Metadata 1\nsend a Metadata 2",
	} {
		if _, err := ParseScript("x", wrong); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}

func TestTimedScript(t *testing.T) {
	s, err := ParseScript("x", "timed\nbegin one Metadata 2 Topics=[]\nend one\n")
	if err != nil || !s.Timed || len(s.Steps) != 2 || s.Steps[1].Verb != "end" || s.Steps[1].Case != "one" {
		t.Fatalf("%+v, %v", s, err)
	}
	for took, want := range map[time.Duration]string{
		0: "at once", 850 * time.Millisecond: "at once", 950 * time.Millisecond: "after 1 s",
		time.Second: "after 1 s", 1800 * time.Millisecond: "after 1 s", 2001 * time.Millisecond: "after 2 s",
	} {
		if got := when(took); got != want {
			t.Errorf("%v is %s, want %s", took, got, want)
		}
	}
}

// fakeEnv resolves names without a broker.
type fakeEnv struct{}

func (fakeEnv) variable(name string) (string, bool) { return "7", name == "pid" }

func (fakeEnv) topicID(string) ([16]byte, error) { return [16]byte{1}, nil }

func TestFill(t *testing.T) {
	req := kmsg.NewPtrCreateTopicsRequest()
	text := `TimeoutMillis=5 ValidateOnly=true Topics=[{Topic="a b" ReplicaAssignment=[{Partition=1 Replicas=[1 2]}]
		Configs=[{Name=repeat(x 3) Value=null} {Name=k-$pid Value=""}]} {Topic=c}]`
	if err := fill(req, text, fakeEnv{}); err != nil {
		t.Fatal(err)
	}
	first := req.Topics[0]
	switch {
	case req.TimeoutMillis != 5, !req.ValidateOnly, len(req.Topics) != 2, first.Topic != "a b",
		first.ReplicaAssignment[0].Replicas[1] != 2, first.Configs[0].Name != "xxx", first.Configs[0].Value != nil,
		first.Configs[1].Name != "k-7", first.Configs[1].Value == nil || *first.Configs[1].Value != "":
		t.Errorf("%+v", req)
	}
	heartbeat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	if err := fill(heartbeat, "SubscribedTopicNames=[a many(b- 2) c] MemberEpoch=3", fakeEnv{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(heartbeat.SubscribedTopicNames, " "); got != "a b-0 b-1 c" || heartbeat.MemberEpoch != 3 {
		t.Errorf("%s, epoch %d", got, heartbeat.MemberEpoch)
	}
	for _, wrong := range []string{"Nothing=1", "TimeoutMillis=[many(a 1)]", "Topics=[many(a 1)]", "TimeoutMillis 5", "TimeoutMillis=soon", "Topics=[{Topic=a]", `Topics=[{Topic="a}]`, "TimeoutMillis=$x", "Topics=5"} {
		if err := fill(kmsg.NewPtrCreateTopicsRequest(), wrong, fakeEnv{}); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}

// TestBatch checks the builder of record batches with kmsg and the CRC.
func TestBatch(t *testing.T) {
	req := kmsg.NewPtrProduceRequest()
	if err := fill(req, "Topics=[{Partitions=[{Records=batch{N=2 Key=k Value=v Header=h PID=$pid Epoch=1 Seq=5}}]}]", fakeEnv{}); err != nil {
		t.Fatal(err)
	}
	raw := req.Topics[0].Partitions[0].Records
	var batch kmsg.RecordBatch
	if err := batch.ReadFrom(raw); err != nil {
		t.Fatal(err)
	}
	if uint32(batch.CRC) != crc32.Checksum(raw[21:], castagnoli) || int(batch.Length) != len(raw)-12 {
		t.Errorf("CRC or length are wrong: %+v", batch)
	}
	if batch.NumRecords != 2 || batch.LastOffsetDelta != 1 || batch.ProducerID != 7 || batch.FirstSequence != 5 {
		t.Errorf("%+v", batch)
	}
	size, n := binary.Varint(batch.Records)
	var record kmsg.Record
	if err := record.ReadFrom(batch.Records[:n+int(size)]); err != nil {
		t.Fatal(err)
	}
	if string(record.Key) != "k" || string(record.Value) != "v" || record.Headers[0].Key != "h" {
		t.Errorf("%+v", record)
	}
}

func TestShow(t *testing.T) {
	id := [16]byte{9}
	n := &names{
		addr: "127.0.0.1:9092", port: "9092", dir: "/data", now: time.UnixMilli(1_800_000_000_000),
		topics: map[[16]byte]string{id: "orders"}, masks: []string{"*ControllerID"},
	}
	resp := kmsg.NewPtrMetadataResponse()
	resp.Version, resp.ControllerID = 13, 1
	broker := kmsg.NewMetadataResponseBroker()
	broker.NodeID, broker.Host, broker.Port = 1, "127.0.0.1", 9092
	resp.Brokers = append(resp.Brokers, broker)
	topic := kmsg.NewMetadataResponseTopic()
	topic.Topic, topic.TopicID, topic.ErrorCode = kmsg.StringPtr("orders"), id, 3
	resp.Topics = append(resp.Topics, topic)
	got := text(show(wire.Answer{Response: resp, Body: resp.AppendTo(nil)}, n).lines)
	want := `
    Brokers[1] Host="127.0.0.1" Port=<port>
    ControllerID=<masked>
    Topics[orders] ErrorCode=UNKNOWN_TOPIC_OR_PARTITION TopicID=<id of orders>
    ErrorCode=NONE
`
	if got != want[1:] {
		t.Errorf("got\n%swant\n%s", got, want[1:])
	}
	longer := show(wire.Answer{Response: resp, Body: append(resp.AppendTo(nil), 0)}, n)
	if !strings.Contains(text(longer.lines), "encoding=") {
		t.Error("a byte behind the answer is not shown")
	}
}

func TestCompare(t *testing.T) {
	want := []Answer{{Case: "s/c", Lines: []Line{{"A", "1"}, {"B", "2"}, {"C", ""}}}, {Case: "s/d"}}
	got := []Answer{{Case: "s/c", Lines: []Line{{"A", "1"}, {"B", "3"}, {"D", "4"}}}}
	var differences []string
	for _, d := range Compare(want, got) {
		differences = append(differences, d.String())
	}
	expected := []string{
		"s/c v0 B: want 2, got 3", "s/c v0 C: want (present), got nothing", "s/c v0 D: want nothing, got 4",
		"s/d v0 script: want an answer, got the run ended before",
	}
	if strings.Join(differences, "\n") != strings.Join(expected, "\n") {
		t.Errorf("got %q", differences)
	}
}

func TestAccepted(t *testing.T) {
	a, err := ParseAccepted("# One\nwhy\n```differential\ns/c* *.Error\n```\n# Two\n```differential\nx/y Z\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	if !a.Covers(Difference{Case: "s/case", Path: "Topics[a].Error"}) || a.Covers(Difference{Case: "s/case", Path: "Topics[a].Errors"}) {
		t.Error("the rule of One covers the wrong differences")
	}
	if unused := a.Unused(); len(unused) != 1 || !strings.Contains(unused[0], "Two") {
		t.Errorf("unused: %q", unused)
	}
	if _, err := ParseAccepted("```differential\nonly-a-case\n```"); err == nil {
		t.Error("a rule without a path was accepted")
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		glob, s string
		want    bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "abc", true},
		{"a*b*c", "axbxc", true}, {"a*b*c", "acb", false}, {"*[x].*", "T[x].Y", true}, {"a*a", "a", false},
	} {
		if got := matches(c.glob, c.s); got != c.want {
			t.Errorf("matches(%q, %q) is %v", c.glob, c.s, got)
		}
	}
}

// checkServed compares the version ranges of "all" with those that the oracle
// advertises.
func checkServed(t *testing.T, oracle *target.Broker) {
	t.Helper()
	conn, err := wire.Dial(oracle.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer, err := conn.Request(kmsg.NewPtrApiVersionsRequest())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range answer.Response.(*kmsg.ApiVersionsResponse).ApiKeys {
		r, ok := served[k.ApiKey]
		if k.ApiKey == int16(kmsg.Produce) {
			k.MinVersion = 3 // 0 to 2 are advertised for an old client, but refused
		}
		if ok && r != [2]int16{k.MinVersion, k.MaxVersion} {
			t.Errorf("%s: all is %v, but Kafka serves %d to %d", kmsg.NameForKey(k.ApiKey), r, k.MinVersion, k.MaxVersion)
		}
	}
}
