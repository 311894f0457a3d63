package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/clients"
	"ottla/interop/target"
)

// inPlace is a node's complete data folder that Kafka wrote and that Ottla
// serves in its place.
type inPlace struct {
	name   string // without a comma, because it is part of a path in log.dirs
	format []string
	// dirs is the number of log dirs of the node.
	dirs int
	// set is additional configuration of Kafka for this folder.
	set []string
	// stop ends the broker that owns the folder: cleanly or by kill -9.
	stop func(b *target.Broker) error
	fill func(t *testing.T, b *target.Broker)
	// long marks folders that are tested only with OTTLA_TEST=long.
	long bool
}

// inPlaceFolders begins with the folders of the short form. Together they
// contain everything that Kafka may leave.
func inPlaceFolders() []inPlace {
	kill := func(b *target.Broker) error { b.Kill(); return nil }
	newest := []string{"--standalone"}
	oldest := []string{"--release-version", "3.3-IV3"}
	return []inPlace{
		{"static voters of 3.3-IV3 killed", oldest, 1, nil, kill, fillLogs, false},
		{"two log dirs with ACLs stopped", newest, 2, guarded, (*target.Broker).Stop, fillMetadata, false},
		{"two log dirs killed", newest, 2, nil, kill, fillLogs, true},
		{"static voters of 3.3-IV3 with two log dirs stopped", oldest, 2, nil, (*target.Broker).Stop, fillLogs, true},
		{"static voters moved into the log killed", []string{}, 1, nil, kill, moveVoters, true},
		{"static voters of 3.9 with ACLs killed", []string{"--release-version", "3.9"}, 1, guarded, kill, fillMetadata, true},
	}
}

// guarded configures a Kafka with an authorizer that allows this test
// everything.
var guarded = []string{"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:ANONYMOUS"}

// TestFolderInPlace tests the promises of docs/migration.md:
//
//  1. Kafka fills a folder and stops, or is killed.
//  2. `ottla storage check` reports that the folder can be served, and its
//     content.
//  3. Ottla opens it with Kafka's own server.properties and serves every
//     record, group, offset and config as Kafka did. It writes more records,
//     deletes a topic, creates another, and writes snapshots of the metadata.
//     It stops, or is killed.
//  4. Kafka takes the folder back and serves the data of both. ACLs, SCRAM
//     credentials and quotas are unchanged.
//  5. Ottla opens the folder again after Kafka.
func TestFolderInPlace(t *testing.T) {
	target.Jars(t)
	if target.Default() == target.Kafka {
		t.Skip("between Ottla and Kafka")
	}
	for _, f := range inPlaceFolders() {
		if f.long && !target.Long() {
			continue
		}
		t.Run(f.name, f.run)
	}
}

func (f inPlace) run(t *testing.T) {
	base := t.TempDir()
	var dirs []string
	for i := range f.dirs {
		dirs = append(dirs, filepath.Join(base, fmt.Sprint("dir", i)))
	}
	set := slices.Concat(quickCleaner, loneTransactions, f.set, []string{"log.dirs=" + strings.Join(dirs, ",")})
	kafka := target.Start(t, target.Options{Kind: target.Kafka, Dir: dirs[0], Format: f.format, Set: set})
	f.fill(t, kafka)
	want := lookAll(t, kafka.Addr)
	var guarded []string
	if f.guarded() {
		if guarded = guards(t, kafka.Addr); len(guarded) < 4 {
			t.Fatalf("Kafka tells %q", guarded)
		}
	}
	if err := f.stop(kafka); err != nil {
		t.Fatal(err)
	}
	f.check(t, dirs, want)

	// Write a snapshot of the metadata whenever something has changed.
	ottla, err := target.TakeOver(t, kafka, "authorizer.class.name=", "metadata.log.max.snapshot.interval.ms=1000")
	if err != nil {
		t.Fatal(err)
	}
	start(t, ottla)
	want.compare(t, "Ottla", lookAll(t, ottla.Addr))
	changeAll(t, ottla, "ottla", want)
	if err := f.stop(ottla); err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		verified(t, dir)
	}

	start(t, kafka)
	want.compare(t, "Kafka", lookAll(t, kafka.Addr))
	if f.guarded() {
		if got := guards(t, kafka.Addr); !slices.Equal(got, guarded) {
			t.Errorf("Kafka has ACLs, users and quotas\n%q\nand had before\n%q", got, guarded)
		}
	}
	changeAll(t, kafka, "kafka", want)
	if err := f.stop(kafka); err != nil {
		t.Fatal(err)
	}
	start(t, ottla)
	want.compare(t, "Ottla once more", lookAll(t, ottla.Addr))
	if err := f.stop(ottla); err != nil {
		t.Fatal(err)
	}
}

func (f inPlace) guarded() bool { return len(f.set) > 0 }

// check runs `ottla storage check` and compares its result with what clients
// saw.
func (f inPlace) check(t *testing.T, dirs []string, want *nodeView) {
	t.Helper()
	out := runOttla(t, slices.Concat([]string{"storage", "check", "--format", "json"}, dirs)...)
	var got struct {
		Servable, CleanShutdown bool
		MetadataVersion         string
		Features                map[string]int16
		Counts                  struct{ Topics, Groups, ShareGroups, OpenTransactions int }
		Ignored                 map[string]int
		Problems                []any
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	topics, groups := 0, map[string]bool{}
	for _, fact := range want.facts {
		if strings.HasPrefix(fact, "topic ") {
			topics++
		}
		if group, ok := strings.CutPrefix(fact, "group "); ok {
			group, _, _ = strings.Cut(group, " ")
			groups[group] = true
		}
	}
	open := 0
	if _, ok := want.topics["f-open"]; ok {
		open = 1
	}
	ignored := map[string]int{}
	if f.guarded() {
		ignored = map[string]int{"acls": 2, "scramCredentials": 1, "clientQuotas": 1}
	}
	sharing := 0
	if f.guarded() && got.Features["share.version"] > 0 {
		sharing = 1
	}
	c := got.Counts
	if !got.Servable || len(got.Problems) > 0 || c.Topics != topics || c.Groups != len(groups) || c.OpenTransactions != open || !maps.Equal(got.Ignored, ignored) || c.ShareGroups != sharing {
		t.Errorf("storage check of a folder with %d topics, %d groups: %s", topics, len(groups), out)
	}
	for name, level := range got.Features {
		if fact := fmt.Sprintf("feature %s=%d", name, level); level > 0 && !slices.Contains(want.facts, fact) {
			t.Errorf("storage check reports %s, the node did not", fact)
		}
	}
}

// verified runs `ottla storage verify` on a log dir.
func verified(t *testing.T, dir string) {
	t.Helper()
	if out := runOttla(t, "storage", "verify", dir); !strings.HasSuffix(out, ": 0 problems\n") {
		t.Errorf("storage verify %s: %s", dir, out)
	}
}

// fillLogs writes everything that a partition's log may contain, and leaves a
// folder of a deleted topic.
func fillLogs(t *testing.T, b *target.Broker) {
	for _, m := range []moved{
		{"f-mixed", nil, func(t *testing.T, b *target.Broker, topic string) { write(t, b, topic, "zstd", true) }},
		{"f-trimmed", nil, trim},
		{"f-transactions", nil, finished},
		{"f-open", nil, openTransaction},
		{"f-deleted", nil, func(t *testing.T, b *target.Broker, topic string) { write(t, b, topic, "none", true) }},
	} {
		createMoved(t, b, []moved{m}, true)
		m.fill(t, b, m.topic)
	}
	createMoved(t, b, []moved{{topic: "f-compacted", configs: compactConfigs}}, true)
	compact(t, b, "f-compacted")
	commit(t, b, "f-mixed")
	withAdmin(t, b.Addr, func(ctx context.Context, admin *kadm.Client) error {
		_, err := admin.DeleteTopics(ctx, "f-deleted")
		return err
	})
}

// fillMetadata sets everything that is not in a log: configs of topics, of the
// broker and of all brokers, ACLs, SCRAM credentials and quotas.
func fillMetadata(t *testing.T, b *target.Broker) {
	createMoved(t, b, []moved{{topic: "f-plain", configs: map[string]string{"max.message.bytes": "2000000"}}, {topic: "f-second"}}, true)
	write(t, b, "f-plain", "lz4", true)
	write(t, b, "f-second", "none", true)
	commit(t, b, "f-plain")
	guard(t, b, "f-plain")
	if _, ok := featureOf(t, b.Addr, "share.version"); ok {
		shareGroup(t, b, "f-plain")
	}
}

// moveVoters raises kraft.version, so that the voters are in the log, after
// older records.
func moveVoters(t *testing.T, b *target.Broker) {
	createMoved(t, b, []moved{{topic: "f-plain"}}, true)
	write(t, b, "f-plain", "lz4", true)
	commit(t, b, "f-plain")
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrUpdateFeaturesRequest()
	update := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	update.Feature, update.MaxVersionLevel, update.UpgradeType = "kraft.version", 1, 1
	req.FeatureUpdates = append(req.FeatureUpdates, update)
	until(t, func() int16 {
		answer, err := req.RequestWith(callContext(t), cl)
		if err != nil {
			t.Fatal(err)
		}
		return answer.ErrorCode
	})
	until(t, func() int16 {
		if level, _ := featureOf(t, b.Addr, "kraft.version"); level != 1 {
			return kerr.NotController.Code
		}
		return 0
	})
}

// featureOf is the finalized level of a feature.
func featureOf(t *testing.T, addr, name string) (level int16, ok bool) {
	t.Helper()
	withAdmin(t, addr, func(ctx context.Context, admin *kadm.Client) error {
		versions, err := admin.ApiVersions(ctx)
		for _, b := range versions {
			for _, f := range b.Raw().FinalizedFeatures {
				if f.Name == name {
					level, ok = f.MaxVersionLevel, true
				}
			}
		}
		return err
	})
	return level, ok
}

// shareGroup joins a share group and leaves it, so that Kafka keeps its
// records.
func shareGroup(t *testing.T, b *target.Broker, topic string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.GroupID, req.MemberID, req.SubscribedTopicNames = "sharing", "AAAAAAAAQACAAAAAAAAAAA", []string{topic}
	for _, epoch := range []int32{0, -1} {
		req.MemberEpoch = epoch
		until(t, func() int16 {
			answer, err := req.RequestWith(callContext(t), cl)
			if err != nil {
				t.Fatal(err)
			}
			return answer.ErrorCode
		})
	}
}

// guard sets dynamic configs, a user, a quota and ACLs of a topic.
func guard(t *testing.T, b *target.Broker, topic string) {
	t.Helper()
	withAdmin(t, b.Addr, func(ctx context.Context, admin *kadm.Client) error {
		one, many := "123456", "7654321"
		_, err1 := admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Name: "message.max.bytes", Value: &many}})
		_, err2 := admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Name: "log.flush.interval.messages", Value: &one}}, 1)
		_, err3 := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: "alice", Mechanism: kadm.ScramSha256, Iterations: 4096, Password: "secret"}})
		user := "alice"
		_, err4 := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
			Entity: kadm.ClientQuotaEntity{{Type: "user", Name: &user}},
			Ops:    []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 1e6}},
		}})
		acls := kadm.NewACLs().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead, kadm.OpWrite).Allow("User:alice").AllowHosts()
		_, err5 := admin.CreateACLs(ctx, acls)
		return errors.Join(err1, err2, err3, err4, err5)
	})
}

// finished writes committed and aborted transactions, with other records in
// between.
func finished(t *testing.T, b *target.Broker, topic string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.TransactionalID("finished"), kgo.DefaultProduceTopic(topic), kgo.MaxBufferedRecords(100))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range 8 {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for n := range 4 {
			r := &kgo.Record{Key: fmt.Appendf(nil, "%d-%d", i, n), Value: noise(6_000 * (i%3 + 1))}
			if err := cl.ProduceSync(callContext(t), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := cl.EndTransaction(callContext(t), kgo.TransactionEndTry(i%2 == 0)); err != nil {
			t.Fatal(err)
		}
	}
}

// changeAll writes more records to every topic, moves a group, creates a topic
// and deletes the one that the previous broker created.
func changeAll(t *testing.T, b *target.Broker, by string, want *nodeView) {
	t.Helper()
	for _, topic := range slices.Sorted(maps.Keys(want.topics)) {
		if strings.HasPrefix(topic, "made-by-") {
			withAdmin(t, b.Addr, func(ctx context.Context, admin *kadm.Client) error {
				_, err := admin.DeleteTopics(ctx, topic)
				return err
			})
			continue
		}
		if !strings.HasPrefix(topic, "__") {
			if _, err := clients.NewFranz(b.Addr).Produce(callContext(t), clients.Produce{
				Topic: topic, Acks: "all", Codec: "none", Idempotent: true,
				Records: []clients.Record{{Key: []byte("later"), Value: []byte(by), Timestamp: baseTime + 2_000_000}},
			}); err != nil {
				t.Fatalf("%s: writing on to %s: %v", b.Kind, topic, err)
			}
		}
	}
	createMoved(t, b, []moved{{topic: "made-by-" + by}}, true)
	write(t, b, "made-by-"+by, "gzip", true)
	commit(t, b, "made-by-"+by)
	*want = *lookAll(t, b.Addr)
}
