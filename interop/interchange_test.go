package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"ottla/interop/clients"
	"ottla/interop/target"
)

// moved is a topic of one partition that one broker writes and another serves.
type moved struct {
	topic   string
	configs map[string]string
	fill    func(t *testing.T, broker *target.Broker, topic string)
}

// movedTopics are the topics that both brokers can write; kafkaTopics need
// features that only Kafka has so far.
func movedTopics(prefix string) []moved {
	var out []moved
	for _, codec := range (*clients.Franz)(nil).Can().Codecs {
		out = append(out, moved{prefix + codec, nil, func(t *testing.T, b *target.Broker, topic string) { write(t, b, topic, codec, true) }})
	}
	return append(out,
		moved{prefix + "plain", map[string]string{"compression.type": "lz4"}, func(t *testing.T, b *target.Broker, topic string) { write(t, b, topic, "zstd", false) }},
		moved{prefix + "append-time", map[string]string{"message.timestamp.type": "LogAppendTime"}, func(t *testing.T, b *target.Broker, topic string) { write(t, b, topic, "snappy", true) }},
		moved{prefix + "trimmed", nil, trim},
	)
}

func kafkaTopics() []moved {
	return []moved{
		{"k-transactions", nil, transactions},
		{"k-open", nil, openTransaction},
		{"k-compacted", compactConfigs, func(t *testing.T, b *target.Broker, topic string) { compact(t, b, topic) }},
	}
}

// TestInterchange moves partitions from Ottla to Apache Kafka and from Kafka to
// Ottla, in both directions concurrently:
//
//  1. Ottla writes the topics o-…, Kafka the topics k-…, with every
//     compression, over several segments; Kafka also with transactions and
//     compaction.
//  2. Both stop cleanly. Each gets the other's folders and must serve every
//     record, offset and time as the other did.
//  3. Each writes more records, both are killed with SIGKILL, and the folders
//     are moved back. Each must recover the other's data.
//  4. Ottla gets the segments of the partition with transactions without other
//     files. The transaction index that it builds from them must be equal to
//     Kafka's, byte for byte.
//
// At the end Kafka's DumpLogSegments reads both data folders. Whenever the
// brokers are down, Ottla's own tool checks both folders completely, including
// __consumer_offsets, __transaction_state and __cluster_metadata.
func TestInterchange(t *testing.T) {
	target.Jars(t)
	if target.Default() == target.Kafka {
		t.Skip("between Ottla and Kafka")
	}
	ottla := target.Start(t, target.Options{Kind: target.Ottla})
	kafka := target.Start(t, target.Options{Kind: target.Kafka, Set: slices.Concat(quickCleaner, loneTransactions)})
	byOttla, byKafka := movedTopics("o-"), append(movedTopics("k-"), kafkaTopics()...)
	createMoved(t, ottla, byOttla, true)
	createMoved(t, kafka, byKafka, true)
	createMoved(t, ottla, append(slices.Clone(byKafka), moved{topic: "k-bare"}), false)
	createMoved(t, kafka, byOttla, false)
	want := map[string]View{}
	fillMoved(t, ottla, byOttla, want)
	fillMoved(t, kafka, byKafka, want)
	transactional := want["k-transactions"]
	told := abortedOf(t, kafka, "k-transactions", transactional.End)
	commit(t, kafka, "k-none")

	for _, b := range []*target.Broker{ottla, kafka} {
		if err := b.Stop(); err != nil {
			t.Fatal(err)
		}
		CheckStorage(t, b.Dir)
	}
	exchange(t, ottla, kafka, byOttla)
	exchange(t, kafka, ottla, byKafka)
	start(t, ottla, kafka)
	t.Run("after a clean stop", func(t *testing.T) {
		compareMoved(t, kafka, byOttla, want)
		compareMoved(t, ottla, byKafka, want)
		if got := abortedOf(t, ottla, "k-transactions", transactional.End); !slices.Equal(got, told) {
			t.Errorf("readers of k-transactions are told of the aborted transactions\n%s\nby Kafka:\n%s", strings.Join(got, "\n"), strings.Join(told, "\n"))
		}
	})

	writeOn(t, kafka, byOttla, want)
	writeOn(t, ottla, byKafka, want)
	commit(t, kafka, "o-none")
	kafka.Kill()
	ottla.Kill()
	for _, b := range []*target.Broker{ottla, kafka} {
		CheckStorage(t, b.Dir)
	}
	bare(t, filepath.Join(kafka.Dir, "k-transactions-0"), filepath.Join(ottla.Dir, "k-bare-0"))
	original := readIndexes(t, filepath.Join(kafka.Dir, "k-transactions-0"))
	exchange(t, kafka, ottla, byOttla)
	exchange(t, ottla, kafka, byKafka)
	start(t, ottla, kafka)
	t.Run("after kill -9", func(t *testing.T) {
		compareMoved(t, ottla, byOttla, want)
		compareMoved(t, kafka, byKafka, want)
	})
	t.Run("of bare segments", func(t *testing.T) {
		compareMoved(t, ottla, []moved{{topic: "k-bare"}}, map[string]View{"k-bare": transactional})
	})
	for _, b := range []*target.Broker{ottla, kafka} {
		if err := b.Stop(); err != nil {
			t.Fatal(err)
		}
		CheckFiles(t, b.Dir)
		CheckIndexes(t, b.Dir)
		CheckStorage(t, b.Dir)
	}
	if rebuilt := readIndexes(t, filepath.Join(ottla.Dir, "k-bare-0")); len(original) == 0 || !slices.Equal(original, rebuilt) {
		t.Errorf("transaction indexes made of bare segments:\n%q\nKafka's:\n%q", rebuilt, original)
	}
}

func start(t *testing.T, brokers ...*target.Broker) {
	t.Helper()
	for _, b := range brokers {
		if err := b.Up(); err != nil {
			t.Fatalf("%s: %v", b.Kind, err)
		}
	}
}

// createMoved creates topics, with small segments on the broker that will write
// them and with large segments on the other one.
func createMoved(t *testing.T, b *target.Broker, topics []moved, fills bool) {
	t.Helper()
	for _, m := range topics {
		configs := map[string]string{"retention.ms": "-1", "internal.segment.bytes": "100000"}
		maps.Copy(configs, m.configs)
		if !fills {
			configs["internal.segment.bytes"] = "10000000"
		}
		if err := clients.NewFranz(b.Addr).Create(callContext(t), m.topic, 1, configs); err != nil {
			t.Fatalf("%s: creating %s: %v", b.Kind, m.topic, err)
		}
	}
}

func fillMoved(t *testing.T, b *target.Broker, topics []moved, want map[string]View) {
	t.Helper()
	for _, m := range topics {
		m.fill(t, b, m.topic)
		want[m.topic] = Look(t, b.Addr, m.topic, 0)
	}
}

func exchange(t *testing.T, from, to *target.Broker, topics []moved) {
	t.Helper()
	for _, m := range topics {
		MovePartition(t, from, to, m.topic+"-0")
	}
}

func compareMoved(t *testing.T, b *target.Broker, topics []moved, want map[string]View) {
	t.Helper()
	for _, m := range topics {
		wanted := want[m.topic]
		if m.topic == "k-compacted" {
			// Kafka searches for a time in the first segment that reaches it.
			// It finds none if compaction left only empty batches there. Ottla
			// continues with the next segment.
			wanted.Times = maps.Clone(wanted.Times)
			delete(wanted.Times, 0)
		}
		if diff := wanted.Diff(Look(t, b.Addr, m.topic, 0)); diff != "" {
			t.Errorf("%s serves %s differently from what was written:\n%s", b.Kind, m.topic, diff)
		}
	}
}

// writeOn appends to each topic on its new broker, less than a segment.
func writeOn(t *testing.T, b *target.Broker, topics []moved, want map[string]View) {
	t.Helper()
	for _, m := range topics {
		end := want[m.topic].End
		offsets, err := clients.NewFranz(b.Addr).Produce(callContext(t), clients.Produce{
			Topic: m.topic, Acks: "all", Codec: "none", Idempotent: true,
			Records: []clients.Record{ // not so much later that segment.ms rolls the segment
				{Key: []byte("later"), Value: []byte("one"), Timestamp: baseTime + 1_000_000},
				{Key: []byte("later still"), Value: []byte("two"), Timestamp: baseTime + 1_000_001},
			},
		})
		if err != nil || !slices.Equal(offsets, []int64{end, end + 1}) {
			t.Fatalf("%s: writing on to %s: offsets %v after %d, %v", b.Kind, m.topic, offsets, end-1, err)
		}
		want[m.topic] = Look(t, b.Addr, m.topic, 0)
	}
}

// write fills several segments with records of every shape.
func write(t *testing.T, b *target.Broker, topic, codec string, idempotent bool) {
	t.Helper()
	franz := clients.NewFranz(b.Addr)
	for round := range int64(3) {
		records := shapes(franz.Can(), baseTime+10_000*round)
		records = append(records, clients.Record{Key: []byte("noise"), Value: noise(60_000), Timestamp: baseTime + 10_000*round + 9_000})
		for batch := range slices.Chunk(records, 9) {
			if _, err := franz.Produce(callContext(t), clients.Produce{
				Topic: topic, Acks: "all", Codec: codec, Idempotent: idempotent, Records: batch,
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// trim deletes records up to the middle of a batch of the second segment.
func trim(t *testing.T, b *target.Broker, topic string) {
	t.Helper()
	write(t, b, topic, "gzip", true)
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	end, err := clients.NewFranz(b.Addr).End(callContext(t), topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	to := kadm.Offsets{}
	to.Add(kadm.Offset{Topic: topic, At: end/2 + 4})
	deleted, err := kadm.NewClient(cl).DeleteRecords(callContext(t), to)
	if err != nil || deleted.Error() != nil {
		t.Fatalf("%v, %v", err, deleted.Error())
	}
}

// transactions writes committed and aborted transactions, some over several
// segments, with other records in between.
func transactions(t *testing.T, b *target.Broker, topic string) {
	t.Helper()
	java := clients.StartJava(t, b.Addr)
	for i, end := range []string{"commit", "abort", "", "abort", "commit", "abort", ""} {
		records := make([]clients.Record, 5)
		for n := range records {
			records[n] = clients.Record{
				Key: fmt.Appendf(nil, "%s %d", end, n), Value: noise(8_000 * i), Timestamp: baseTime + 1000*int64(i) + 10*int64(n), Headers: []clients.Header{},
			}
		}
		if _, err := java.Produce(callContext(t), clients.Produce{
			Topic: topic, Acks: "all", Codec: allCodecs[i%len(allCodecs)], Idempotent: true, Transaction: end, Records: records,
		}); err != nil {
			t.Fatal(err)
		}
	}
}

var allCodecs = (*clients.Franz)(nil).Can().Codecs

// openTransaction leaves a transaction of an ended producer open. Later records
// are not stable.
func openTransaction(t *testing.T, b *target.Broker, topic string) {
	t.Helper()
	write(t, b, topic, "snappy", true)
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.TransactionalID("open"), kgo.TransactionTimeout(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(callContext(t), &kgo.Record{Topic: topic, Value: []byte("open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	write(t, b, topic, "none", true)
}

// abortedOf returns the aborted transactions that a read_committed reader gets
// at each offset, for several response sizes: those of its region, and those up
// to the next entry of the offset index.
func abortedOf(t *testing.T, b *target.Broker, topic string, end int64) (out []string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.MaxVersions(kversion.V2_7_0())) // topics by name
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for offset := range end {
		for _, size := range []int32{1, 30_000, 1 << 20} {
			req := kmsg.NewPtrFetchRequest()
			req.IsolationLevel = 1
			part := kmsg.NewFetchRequestTopicPartition()
			part.FetchOffset, part.PartitionMaxBytes = offset, size
			req.Topics = append(req.Topics, kmsg.FetchRequestTopic{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{part}})
			answer, err := req.RequestWith(callContext(t), cl.SeedBrokers()[0])
			if err != nil {
				t.Fatal(err)
			}
			got := answer.Topics[0].Partitions[0]
			line := fmt.Sprintf("%d bytes from %d: error %d", size, offset, got.ErrorCode)
			for _, x := range got.AbortedTransactions {
				line += fmt.Sprintf(" {%d %d}", x.ProducerID, x.FirstOffset)
			}
			out = append(out, line)
		}
	}
	return out
}

// commit repeatedly commits offsets of a few groups, so that __consumer_offsets
// has records.
func commit(t *testing.T, b *target.Broker, topic string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range int64(12) {
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: topic, At: i, LeaderEpoch: 0, Metadata: "m"})
		answers, err := kadm.NewClient(cl).CommitOffsets(callContext(t), fmt.Sprint("group-", i%3), offsets)
		if err != nil || answers.Error() != nil {
			t.Fatalf("committing offset %d of %s: %v, %v", i, topic, err, answers.Error())
		}
	}
}

// quickCleaner lets a broker compact as soon as possible.
var quickCleaner = []string{"log.cleaner.backoff.ms=100"}

// loneTransactions are the settings with which a single Kafka node supports
// groups and transactions.
var loneTransactions = []string{"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1", "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=1"}

var compactConfigs = map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "internal.segment.bytes": "10000"}

// compact writes few keys many times, with every compression and with
// tombstones, waits for the cleaner, and checks the result: below the active
// segment the last record of each key, from there on every record.
func compact(t *testing.T, b *target.Broker, topic string) {
	t.Helper()
	franz := clients.NewFranz(b.Addr)
	var written []clients.Record
	for round := range 30 {
		batch := make([]clients.Record, 20)
		for i := range batch {
			offset := len(written) + i
			batch[i] = clients.Record{
				Offset: int64(offset), Timestamp: baseTime + int64(offset), Key: fmt.Appendf(nil, "k%d", offset*7%61),
				Value: fmt.Appendf(nil, "%d %x", offset, noise(150)), Headers: []clients.Header{{Key: "h", Value: []byte{byte(offset)}}},
			}
			if offset%11 == 0 {
				batch[i].Value = nil
			}
		}
		written = append(written, batch...)
		if _, err := franz.Produce(callContext(t), clients.Produce{
			Topic: topic, Acks: "all", Codec: allCodecs[round%len(allCodecs)], Idempotent: round%2 == 0, Records: batch,
		}); err != nil {
			t.Fatal(err)
		}
	}
	active := awaitCompacted(t, b, topic+"-0")
	largeSegments(t, b, topic) // nothing more will be compacted
	last := map[string]int64{}
	for _, r := range written[:active] {
		last[string(r.Key)] = r.Offset
	}
	left := slices.DeleteFunc(written, func(r clients.Record) bool { return r.Offset < active && last[string(r.Key)] != r.Offset })
	if diff := clients.Diff(left, Look(t, b.Addr, topic, 0).Records); diff != "" {
		t.Fatalf("%s left of %d records below offset %d: %s", b.Kind, active, active, diff)
	}
}

// largeSegments keeps the records that are written to a topic from now on in
// its active segment.
func largeSegments(t *testing.T, b *target.Broker, topic string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	value := "10000000"
	answers, err := kadm.NewClient(cl).AlterTopicConfigs(callContext(t), []kadm.AlterConfig{{Name: "internal.segment.bytes", Value: &value}}, topic)
	for _, a := range answers {
		err = errors.Join(err, a.Err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// awaitCompacted returns when the cleaner has reached the active segment. It
// returns the base offset of that segment.
func awaitCompacted(t *testing.T, b *target.Broker, partition string) (active int64) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(b.Dir, partition, "*.log"))
	if err != nil || len(segments) < 3 {
		t.Fatalf("%d segments in %s: %v", len(segments), filepath.Join(b.Dir, partition), err)
	}
	active, err = strconv.ParseInt(strings.TrimSuffix(filepath.Base(slices.Max(segments)), ".log"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for checkpointed(t, b.Dir, "cleaner-offset-checkpoint", partition) != strconv.FormatInt(active, 10) {
		select {
		case <-retry.C:
		case <-ctx.Done():
			t.Fatalf("%s did not compact %s up to offset %d", b.Kind, partition, active)
		}
	}
	return active
}

// bare fills a partition's folder with the segments of another one. Otherwise
// the folder has only its own topic id, if it had one.
func bare(t *testing.T, from, to string) {
	t.Helper()
	replaceFolder(t, from, to)
	entries, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".log" && e.Name() != "partition.metadata" {
			if err := os.Remove(filepath.Join(to, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// readIndexes returns the non-empty transaction indexes of a partition, as
// "NAME bytes".
func readIndexes(t *testing.T, folder string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*.txnindex"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(data)) > 0 {
			out = append(out, fmt.Sprintf("%s %x", filepath.Base(name), data))
		}
	}
	return out
}
