package interop

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/interop/clients"
	"ottla/interop/target"
)

// groupSettings make a coordinator fast, and its topic small.
var groupSettings = []string{
	"group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=2", "offsets.topic.replication.factor=1",
}

const groupCommand = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"

// all is a placeholder for the number of records of __consumer_offsets at the
// start of a tool that ends after this number.
const all = "(all)"

// countRecords is the sum of the end offsets of a topic.
func countRecords(t *testing.T, addr, topic string) string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(callContext(t), topic)
	if err != nil || ends.Error() != nil {
		t.Fatal(err, ends.Error())
	}
	var n int64
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return strconv.FormatInt(n, 10)
}

// groupFixture creates a topic with two partitions and ten records in each, and
// three groups. "idle" has committed 4 and 7 and has no members. "classic" and
// "consumer" have one member each, which has read and committed everything.
func groupFixture(t *testing.T) *target.Broker {
	t.Helper()
	broker := target.Start(t, target.Options{Set: groupSettings})
	franz := clients.NewFranz(broker.Addr)
	if err := franz.Create(callContext(t), "goods", 2, nil); err != nil {
		t.Fatal(err)
	}
	for partition := range 2 {
		records := make([]clients.Record, 10)
		for i := range records {
			records[i] = clients.Record{Value: []byte("v"), Timestamp: baseTime + 1000*int64(i)}
		}
		if _, err := franz.Produce(callContext(t), clients.Produce{Topic: "goods", Partition: partition, Acks: "all", Codec: "none", Records: records}); err != nil {
			t.Fatal(err)
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	offsets := kadm.Offsets{}
	offsets.AddOffset("goods", 0, 4, -1)
	offsets.AddOffset("goods", 1, 7, -1)
	if err := kadm.NewClient(cl).CommitAllOffsets(callContext(t), "idle", offsets); err != nil {
		t.Fatal(err)
	}
	startMember(t, broker.Addr, "classic", kgo.Balancers(kgo.RangeBalancer()))
	startMember(t, broker.Addr, "consumer", kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	return broker
}

// startMember joins a group and returns when all of goods has been read and
// committed. The member stays until the end of the test.
func startMember(t *testing.T, addr, group string, opts ...kgo.Opt) {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr), kgo.ConsumerGroup(group), kgo.ConsumeTopics("goods"), kgo.ClientID("member-of-"+group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(500*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	for n := 0; n < 20; {
		fetches := cl.PollFetches(callContext(t))
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		n += fetches.NumRecords()
	}
	if err := cl.CommitUncommittedOffsets(callContext(t)); err != nil {
		t.Fatal(err)
	}
}

// TestGroupTools runs kafka-consumer-groups, and reads __consumer_offsets with
// the formatters of Kafka's console consumer.
func TestGroupTools(t *testing.T) {
	target.Jars(t)
	t.Parallel()
	broker := groupFixture(t)
	plan := filepath.Join(t.TempDir(), "plan.csv")
	if err := os.WriteFile(plan, []byte("goods,0,2\ngoods,1,3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, run := range groupToolRuns(plan) {
		if run.long && !target.Long() {
			continue
		}
		args := append([]string{"--bootstrap-server", broker.Addr}, run.args...)
		if i := slices.Index(args, all); i >= 0 {
			args[i] = countRecords(t, broker.Addr, "__consumer_offsets")
		}
		out, err := runTool(t, "", run.class, args...)
		if (err != nil) != run.fails {
			t.Fatalf("%s %v: %v\n%s", run.class, run.args, err, out)
		}
		for _, pattern := range run.want {
			if !regexp.MustCompile(pattern).MatchString(out) {
				t.Errorf("%s %v: nothing matches %q in\n%s", run.class, run.args, pattern, out)
			}
		}
	}
}

func groupToolRuns(plan string) []toolRun {
	tool := func(want []string, args ...string) toolRun {
		return toolRun{class: groupCommand, args: args, want: want}
	}
	formatter := func(name string, want ...string) toolRun {
		return toolRun{class: consoleReader, want: want, args: []string{"--topic", "__consumer_offsets", "--from-beginning", "--max-messages", all,
			"--formatter", "org.apache.kafka.tools.consumer." + name}}
	}
	return []toolRun{
		tool([]string{`(?m)^idle\s+Empty`, `(?m)^classic\s+Stable`, `(?m)^consumer\s+Stable`}, "--list", "--state"),
		{class: groupCommand, long: true, args: []string{"--list", "--type", "consumer"}, want: []string{`(?m)^consumer\s+Consumer`}},
		tool([]string{
			`(?m)^idle\s+goods\s+0\s+4\s+10\s+6\s+-\s+-\s+-`, `(?m)^idle\s+goods\s+1\s+7\s+10\s+3\s`, `Consumer group 'idle' has no active members`,
			`(?m)^consumer\s+goods\s+0\s+10\s+10\s+0\s+\S+\s+/127\.0\.0\.1\s+member-of-consumer`,
			`(?m)^classic\s+goods\s+1\s+10\s+10\s+0\s+member-of-classic-\S+\s+/127\.0\.0\.1\s+member-of-classic`,
		}, "--describe", "--all-groups"),
		tool([]string{`(?m)^classic\s+member-of-classic-\S+\s+/127\.0\.0\.1\s+member-of-classic\s+2\s+-\s+goods:0,1`},
			"--describe", "--group", "classic", "--members", "--verbose"),
		tool([]string{`(?m)^consumer\s+\S+\s+/127\.0\.0\.1\s+member-of-consumer\s+2\s+\d+\s+goods:0,1\s+\d+\s+goods:0,1`},
			"--describe", "--group", "consumer", "--members", "--verbose"),
		{class: groupCommand, long: true, args: []string{"--describe", "--group", "consumer", "--state", "--verbose"},
			want: []string{`(?m)^consumer\s+127\.0\.0\.1:\d+\s+\(1\)\s+uniform\s+Stable\s+\d+\s+\d+\s+1`}},
		tool([]string{`(?m)^idle\s+goods\s+0\s+0\s*$`, `(?m)^idle\s+goods\s+1\s+0\s*$`},
			"--reset-offsets", "--group", "idle", "--all-topics", "--to-earliest", "--dry-run"),
		tool([]string{`(?m)^idle\s+goods\s+0\s+2\s*$`, `(?m)^idle\s+goods\s+1\s+3\s*$`},
			"--reset-offsets", "--group", "idle", "--from-file", plan, "--execute"),
		tool([]string{`is inactive, but the current state is Stable`},
			"--reset-offsets", "--group", "classic", "--all-topics", "--to-latest", "--execute"),
		{class: groupCommand, long: true, args: []string{"--reset-offsets", "--group", "idle", "--topic", "goods:1", "--to-datetime", "2023-11-14T22:13:25.000", "--execute"},
			want: []string{`(?m)^idle\s+goods\s+1\s+5\s*$`}},
		tool([]string{`goods\s+0\s+Successful`}, "--delete-offsets", "--group", "idle", "--topic", "goods:0"),
		tool([]string{`Deletion of requested consumer groups \('idle'\) was successful`}, "--delete", "--group", "idle"),
		{class: groupCommand, long: true, args: []string{"--delete", "--group", "classic"}, want: []string{`GroupNotEmptyException`}},
		formatter("OffsetsMessageFormatter",
			`"key":\{"type":1,"data":\{"group":"idle","topic":"goods","partition":0\}\},"value":\{"version":\d,"data":\{"offset":4,`),
		formatter("GroupMetadataMessageFormatter",
			`"key":\{"type":2,"data":\{"group":"classic"\}\},"value":\{"version":\d,"data":\{"protocolType":"consumer",`),
	}
}

// TestGroupCommands runs `ottla group` and `ottla consume -g` on the same
// groups as Kafka's own tools.
func TestGroupCommands(t *testing.T) {
	t.Parallel()
	broker := groupFixture(t)
	binary, err := target.Binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range groupCommandRuns() {
		ctx, cancel := context.WithTimeout(t.Context(), toolLimit)
		out, err := ottla(ctx, binary, broker.Addr, run.args...)
		cancel()
		if (err != nil) != run.fails {
			t.Fatalf("ottla %v: %v\n%s", run.args, err, out)
		}
		for _, pattern := range run.want {
			if !regexp.MustCompile(pattern).MatchString(out) {
				t.Errorf("ottla %v: nothing matches %q in\n%s", run.args, pattern, out)
			}
		}
	}
}

func groupCommandRuns() []toolRun {
	run := func(fails bool, command string, want ...string) toolRun {
		return toolRun{args: strings.Fields(command), want: want, fails: fails}
	}
	return []toolRun{
		run(false, "group list", `(?m)^classic\s+classic\s+Stable\s+consumer\s+1$`, `(?m)^consumer\s+consumer\s+Stable`, `(?m)^idle\s+classic\s+Empty`),
		run(false, "group list --state Empty --type classic", `^NAME.*\nidle .*\n$`),
		run(false, "group describe classic consumer", `classic  classic  Stable  assignor range  coordinator 1\n`,
			`member-of-classic-\S+\s+-\s+member-of-classic\s+/127\.0\.0\.1\s+goods:0-1`, `consumer  consumer  Stable  assignor uniform  coordinator 1  epoch \d+\n`),
		run(true, "group describe idle nobody", `no members`, `group nobody: GROUP_ID_NOT_FOUND`),
		run(false, "group lag idle", `^idle  classic  Empty  lag 9  age \d+h`, `(?m)^goods\s+0\s+4\s+10\s+6\s+\d+h\S+\s+-\s+-\s+-$`, `(?m)^goods\s+1\s+7\s+10\s+3\s`),
		run(false, "group lag consumer", `lag 0  age 0s`, `(?m)^goods\s+0\s+10\s+10\s+0\s+0s\s+\S+\s+member-of-consumer`),
		run(false, "group lag idle --format json", `"lag": 9,\s+"lag_seconds": \d+`, `"committed": 4,\s+"end": 10,\s+"lag": 6,`),
		run(false, "group reset-offsets idle --all-topics --to-datetime 2023-11-14T22:13:25Z",
			`(?m)^goods\s+0\s+4\s+2023-11-14T22:13:24\.000Z\s+5\s+2023-11-14T22:13:25\.000Z\s+1 left out$`,
			`(?m)^goods\s+1\s+7\s+2023-11-14T22:13:27\.000Z\s+5\s+2023-11-14T22:13:25\.000Z\s+2 again$`, `Nothing is changed yet`),
		run(false, "group reset-offsets idle --all-topics --to-current --export", `^goods,0,4\ngoods,1,7\n$`),
		run(true, "group reset-offsets classic --all-topics --to-earliest --execute", `group classic is Stable, with 1 members: .* only when it is empty`),
		run(true, "group reset-offsets consumer -t goods --to-earliest --execute", `group consumer is Stable, with 1 members`),
		run(false, "group reset-offsets idle -t goods:0 --shift-by 4 --execute", `(?m)^goods\s+0\s+4\s+\S+\s+8\s`),
		run(false, "group reset-offsets new -t goods --to-offset 9 --execute", `(?m)^goods\s+0\s+-\s+-\s+9\s+2023-11-14T22:13:29\.000Z\s+-$`),
		run(false, "group lag idle new", `(?m)^idle .* lag 5 `, `(?m)^new .* lag 2 `),
		run(false, "consume goods -g idle -e -f %p/%o\\n", `^(?s:.*)0/8\n`, `1/7\n`, `1/9\n`),
		run(false, "consume goods -g idle -e -f %p/%o\\n", `^$`),
		run(false, "consume goods -g new -n 1 --group-protocol consumer -f %p/%o\\n", `^[01]/9\n$`),
		run(false, "group lag new", `^new  consumer  Empty  lag 1 `),
		run(false, "consume goods -r -g idle --group-protocol consumer -e", `^$`),
		run(false, "group describe idle", `^idle  consumer  Empty  assignor uniform`),
		run(false, "group delete-offsets idle -t goods:0", `deleted the offset of goods \[0\]`),
		run(true, "group delete-offsets classic -t goods", `goods \[0\]: GROUP_SUBSCRIBED_TO_TOPIC`),
		run(true, "group delete idle classic nobody", `deleted idle`, `group classic: NON_EMPTY_GROUP`, `group nobody: GROUP_ID_NOT_FOUND`),
		run(false, "group delete idle --if-exists", `idle does not exist`),
		run(false, "__complete group describe", `(?m)^classic$`, `(?m)^new$`),
	}
}

// ottla runs Ottla's command line and returns both outputs.
func ottla(ctx context.Context, binary, addr string, args ...string) (string, error) {
	if args[0] == "__complete" { // the flag belongs to the completed command
		args = append(slices.Clone(args), "-b", addr, "")
	} else {
		args = append(slices.Clone(args), "-b", addr)
	}
	return combined(ctx, binary, args...)
}

// groupTour is the expected result of interop/java/GroupTour.java, with Kafka
// and with Ottla.
var groupTour = map[string]string{
	"offsets.alter":        "null",
	"offsets.list":         "OffsetAndMetadata{offset=1, leaderEpoch=0, metadata='why'}",
	"offsets.none":         "{}",
	"offsets.many":         "{tour-nobody={}, tour-simple={tour-1=null, tour-0=OffsetAndMetadata{offset=1, leaderEpoch=0, metadata='why'}}}",
	"offsets.topic":        "UnknownTopicOrPartitionException",
	"offsets.large":        "OffsetMetadataTooLarge",
	"list.all":             "[tour-classic Classic consumer Stable, tour-consumer Consumer consumer Stable, tour-simple Classic  Empty]",
	"list.consumer":        "[tour-consumer Consumer consumer Stable]",
	"list.stable":          "[tour-classic Classic consumer Stable, tour-consumer Consumer consumer Stable]",
	"list.protocol":        "[]",
	"describe.simple":      "Empty Classic  true 1 false",
	"describe.classic":     "Stable Classic range false 1 false [fixed-classic tour /127.0.0.1 2 -1 null]",
	"describe.consumer":    "Stable Consumer uniform false 1 true [fixed-consumer tour /127.0.0.1 2 2 true]",
	"describe.nobody":      "GroupIdNotFoundException",
	"describe.classicOnly": "Stable",
	"alter.busy":           "UnknownMemberIdException",
	"alter.busyConsumer":   "UnknownMemberIdException",
	"delete.busy":          "GroupNotEmptyException",
	"delete.busyConsumer":  "GroupNotEmptyException",
	"offsets.subscribed":   "GroupSubscribedToTopicException",
	"remove.unknown":       "UnknownMemberIdException",
	"remove.classic":       "null",
	"removed.classic":      "0",
	"remove.consumer":      "null",
	"removed.consumer":     "0",
	"offsets.delete":       "null",
	"offsets.deleted":      "{}",
	"offsets.deleteNobody": "GroupIdNotFoundException",
	"delete.simple":        "null",
	"delete.again":         "GroupIdNotFoundException",
}

// TestGroupAdminClient runs the group functions of Kafka's Admin client.
func TestGroupAdminClient(t *testing.T) {
	t.Parallel()
	broker := target.Start(t, target.Options{Set: groupSettings})
	client := clients.StartJava(t, broker.Addr)
	prepareTour(t, client, "tour")
	compareTour(t, client, "groups", "tour", groupTour)
}
