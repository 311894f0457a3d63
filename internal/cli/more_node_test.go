package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"

	"ottla/ottlatest"
)

// TestTopicStory types commands that change topics at a node, one after the other:
// a command, where !! says that it fails, and what it prints.
func TestTopicStory(t *testing.T) {
	node := ottlatest.Start(t, ottlatest.With(map[string]string{"num.partitions": "2"}))
	client, err := kgo.NewClient(kgo.SeedBrokers(node.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range 10 {
		r := &kgo.Record{
			Topic: "orders", Partition: int32(i % 2), Key: []byte{byte('a' + i)}, Value: []byte(strings.Repeat("v", i)),
			Headers:   []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}},
			Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)*1000),
		}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{BootstrapEnv + "=" + node.Addr()}
	for _, step := range strings.Split(strings.TrimSpace(topicStory), "\n\n") {
		command, want, _ := strings.Cut(step, "\n")
		command, fails := strings.CutPrefix(command, "!! ")
		code, out, errs := run(t, Streams{Env: env}, strings.Fields(command)...)
		if fails {
			out += errs
		}
		if !strings.Contains(out, want) || (code != 0) != fails {
			t.Errorf("%s: exit %d\n%swant\n%s\n%s", command, code, out, want, errs)
		}
	}
	const all = "%p %o %k %s %T %h\n"
	_, source, _ := run(t, Streams{Env: env}, "consume", "orders", "-e", "-p", "1", "-f", all)
	_, target, _ := run(t, Streams{Env: env}, "consume", "twin", "-e", "-p", "1", "-f", all)
	if source != target || strings.Count(source, "\n") != 5 {
		t.Errorf("the copy differs:\n%s\n%s", source, target)
	}
}

const topicStory = `
!! topic describe ordres
topic ordres: UNKNOWN_TOPIC_OR_PARTITION: This server does not host this topic-partition.; did you mean orders?

!! consume oders -e
did you mean orders?

topic config orders --set retention.ms=-1
altered topic orders

topic config orders --overrides
NAME          VALUE  SOURCE
retention.ms  -1     topic

topic config orders --doc --format yaml
  - name: orders
    configs:
      - name: retention.ms
        value: "-1"
        source: topic
        read_only: false
        sensitive: false
        doc:

topic create twin --partitions 2
created twin

topic create three --partitions 3
created three

copy orders twin
copied 10 records (

copy orders three --format yaml
records: 10

copy orders three -o 3 -p 0 -c 1
copied 1 records

!! copy orders orders
cannot be copied to itself

!! copy orders nowhere
UNKNOWN_TOPIC_OR_PARTITION

topic add-partitions three +2 --dry-run
would give three 5 partitions, it has 3

topic add-partitions three +2
three has 5 partitions, it had 3

!! topic add-partitions three 4
INVALID_PARTITIONS

!! topic add-partitions three none
not a number of partitions

topic trim orders --before -1
TOPIC   PARTITION  START  BEFORE  OFFSETS
orders          0      0       4        4
orders          1      0       4        4
Nothing was deleted: --execute does it.

topic trim orders --before @2023-11-14T22:13:23Z -p 0 --execute --format json
"before_offset": 2

consume orders -p 0 -e -f %o\n
2
3
4

!! topic trim orders
required flag

consume orders -p 0 -c 1 --format yaml
topic: orders
partition: 0
offset: 2
`

// Numbers, null and text that looks like something else stay what they are.
func TestYAML(t *testing.T) {
	text := `{"n":9223372036854775807,"none":null,"yes":"yes","no":"true","one":"1","date":"2026-01-31","empty":"","list":[],"deep":[{"a b":"x\ny"}],"f":0.25}`
	got, err := toYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var back, want any
	if err := yaml.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(back)
	b, _ := json.Marshal(want)
	if string(a) != string(b) || !strings.HasPrefix(string(got), "n: 9223372036854775807\nnone: null\n") {
		t.Errorf("%s\n%s\n%s", got, a, b)
	}
}

// TestDoctor: what doctor finds at a sound node, at ports of others, and at nodes
// that advertise what nobody here can reach.
func TestDoctor(t *testing.T) {
	sound := ottlatest.Start(t)
	unreachable := closedPort(t)
	ottlatest.Start(t, ottlatest.With(map[string]string{"listeners": "PLAINTEXT://" + unreachable, "advertised.listeners": "PLAINTEXT://no-such-host.invalid:9092"}))
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for _, c := range []struct {
		address string
		code    int
		want    []string
	}{
		{sound.Addr(), 0, []string{"Kafka answers", "1 brokers"}},
		{unreachable, 1, []string{"Kafka answers", "no-such-host.invalid has no address here", "advertised.listeners of broker 1"}},
		{closedPort(t), 1, []string{"connection refused", "check that the node runs"}},
		{strings.TrimPrefix(web.URL, "http://"), 1, []string{"an HTTP server listens there"}},
		{strings.TrimPrefix(secure.URL, "https://"), 1, []string{"the port speaks TLS"}},
		{"no-such-host.invalid:9092", 1, []string{"has no address here"}},
	} {
		code, out, errs := run(t, Streams{}, "doctor", "-b", c.address, "--timeout", "3s")
		for _, want := range c.want {
			if code != c.code || !strings.Contains(out, want) {
				t.Errorf("%s: exit %d, %s%s; want %d and %q", c.address, code, out, errs, c.code, want)
			}
		}
	}
	var result struct {
		Findings []finding
		Problems int
	}
	_, out, _ := run(t, Streams{}, "doctor", "-b", closedPort(t), "--format", "json")
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.Problems != 1 || result.Findings[0].Advice == "" {
		t.Errorf("%v, %s", err, out)
	}
}

// A mistyped group comes with the one that was probably meant.
func TestSuggestedGroup(t *testing.T) {
	node := ottlatest.Start(t)
	env := []string{BootstrapEnv + "=" + node.Addr()}
	for _, args := range []string{"topic create t", "group reset-offsets billing -t t --to-earliest --execute"} {
		if code, _, errs := run(t, Streams{Env: env}, strings.Fields(args)...); code != 0 {
			t.Fatal(errs)
		}
	}
	if code, _, errs := run(t, Streams{Env: env}, "group", "describe", "biling"); code != ExitFailed || !strings.Contains(errs, "did you mean billing?") {
		t.Errorf("exit %d, %s", code, errs)
	}
}
