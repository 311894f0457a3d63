package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/ottlatest"
)

// TestGroupStory types the commands about groups at a node, one after the
// other: a command, where !! says that it fails, and what it prints.
func TestGroupStory(t *testing.T) {
	node := ottlatest.Start(t, ottlatest.With(map[string]string{
		"offsets.topic.num.partitions": "1", "group.initial.rebalance.delay.ms": "0", "num.partitions": "2",
	}))
	client, err := kgo.NewClient(kgo.SeedBrokers(node.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range 10 {
		r := &kgo.Record{Topic: "t", Partition: int32(i % 2), Value: []byte{byte('a' + i)}, Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)*1000)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range strings.Split(strings.TrimSpace(groupStory), "\n\n") {
		command, want, _ := strings.Cut(step, "\n")
		command, fails := strings.CutPrefix(command, "!! ")
		code, out, errs := run(t, Streams{Env: []string{BootstrapEnv + "=" + node.Addr()}}, strings.Fields(command)...)
		if want != "" {
			want += "\n"
		}
		if strings.HasPrefix(command, "consume") { // partitions come in any order
			out = strings.Join(slices.Sorted(strings.Lines(out)), "")
		}
		if out != want || (code != 0) != fails {
			t.Errorf("%s: exit %d\n%swant\n%s%s", command, code, out, want, errs)
		}
	}
}

const groupStory = `
group list
NAME  TYPE  STATE  PROTOCOL  COORDINATOR

!! group describe g

group reset-offsets g -t t --to-offset 3 --execute
TOPIC  PARTITION  OLD  OLD TIME  NEW  NEW TIME                  RECORDS
t              0    -  -           3  2023-11-14T22:13:26.000Z  -
t              1    -  -           3  2023-11-14T22:13:27.000Z  -

group list
NAME  TYPE     STATE  PROTOCOL  COORDINATOR
g     classic  Empty  -                   1

group describe g
g  classic  Empty  coordinator 1
  no members

group reset-offsets g -t t:1 --shift-by -2
TOPIC  PARTITION  OLD  OLD TIME                  NEW  NEW TIME                  RECORDS
t              1    3  2023-11-14T22:13:27.000Z    1  2023-11-14T22:13:23.000Z  2 again

group reset-offsets g --all-topics --to-current --export
t,0,3
t,1,3

consume t -g g -e -f %p/%o:%s\n
0/3:g
0/4:i
1/3:h
1/4:j

group lag g
g  classic  Empty  lag 0  age 0s
TOPIC  PARTITION  COMMITTED  END  LAG  AGE  MEMBER  CLIENT  HOST
t              0          5    5    0   0s  -       -       -
t              1          5    5    0   0s  -       -       -

group reset-offsets g -t t:0 --to-datetime 2023-11-14T22:13:28Z --execute
TOPIC  PARTITION  OLD  OLD TIME  NEW  NEW TIME                  RECORDS
t              0    5  -           4  2023-11-14T22:13:28.000Z  1 again

consume t -g g -e -f %p/%o:%s\n --group-protocol consumer
0/4:i

group list --type consumer
NAME  TYPE      STATE  PROTOCOL  COORDINATOR
g     consumer  Empty  consumer            1

group delete-offsets g -t t:0
deleted the offset of t [0]

group delete g --dry-run
would delete g

group delete g
deleted g

!! group delete g

group delete g --if-exists
g does not exist
`
