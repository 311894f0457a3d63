package broker

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/protocol"
	"ottla/internal/vfs"
)

// alter sets a config of a resource.
func (c *client) alter(kind kmsg.ConfigResourceType, resource, name, value string) protocol.Code {
	c.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, resource
	one := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	one.Name, one.Value = name, &value
	r.Configs = append(r.Configs, one)
	req.Resources = append(req.Resources, r)
	return protocol.Code(ask[*kmsg.IncrementalAlterConfigsResponse](c, 1, req).Resources[0].ErrorCode)
}

// What is altered at run time is in force at once, for the broker and for its
// topics, and again after a restart.
func TestAlteredConfigsAreInForce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("a", 1)
		c.mustCreate("own", 1, "max.message.bytes", "5000")
		sized := func(topic string, size int) protocol.Code {
			t.Helper()
			_, code := c.produce(topic, 0, strings.Repeat("x", size))
			return code
		}
		check := func(when, topic string, size int, want protocol.Code) {
			t.Helper()
			if code := sized(topic, size); code != want {
				t.Errorf("%s: %d bytes to %s: %v, want %v", when, size, topic, code, want)
			}
		}
		check("at first", "a", 10_000, protocol.None)
		if code := c.alter(kmsg.ConfigResourceTypeBroker, "", "message.max.bytes", "2000"); code != 0 {
			t.Fatalf("alter: %v", code)
		}
		check("the cluster's limit", "a", 10_000, protocol.MessageTooLarge)
		check("the cluster's limit", "own", 4_000, protocol.None)
		if code := c.alter(kmsg.ConfigResourceTypeBroker, "1", "message.max.bytes", "4000"); code != 0 {
			t.Fatalf("alter: %v", code)
		}
		check("the broker's limit", "a", 3_000, protocol.None)
		check("the broker's limit", "a", 5_000, protocol.MessageTooLarge)
		if got := n.Config(); got == n.static {
			t.Error("the node's configuration is the static one")
		}
		if code := c.alter(kmsg.ConfigResourceTypeTopic, "own", "max.message.bytes", "900"); code != 0 {
			t.Fatalf("alter: %v", code)
		}
		check("the topic's limit", "own", 4_000, protocol.MessageTooLarge)
		w.close(n)
		n = w.start()
		c = w.connect(n)
		check("after a restart", "a", 5_000, protocol.MessageTooLarge)
		check("after a restart", "a", 3_000, protocol.None)
		check("after a restart", "own", 4_000, protocol.MessageTooLarge)
	})
}

// TestAlteredDefaultsReachTheLogs: every config of a topic whose default Kafka
// lets be altered at run time, altered for the cluster, is in force in the log of
// a topic that has none of its own.
func TestAlteredDefaultsReachTheLogs(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("a", 1)
		value := map[string]string{
			"cleanup.policy": "compact", "compression.type": "lz4", "message.timestamp.type": "LogAppendTime",
			"min.cleanable.dirty.ratio": "0.1", "preallocate": "true", "unclean.leader.election.enable": "true",
			"compression.gzip.level": "3", "compression.lz4.level": "4", "compression.zstd.level": "5",
		}
		notInLogs := []string{"local.retention.bytes", "local.retention.ms", "preallocate", "unclean.leader.election.enable"}
		checked := 0
		for _, key := range config.Keys(config.ScopeTopic) {
			if len(key.BrokerSynonyms) == 0 || slices.Contains(notInLogs, key.Name) {
				continue
			}
			name := key.BrokerSynonyms[0].Name
			if broker, _ := config.Lookup(config.ScopeBroker, name); broker.Dynamic != config.ClusterWide {
				t.Errorf("%s cannot be altered", name)
				continue
			}
			to := value[key.Name]
			if to == "" {
				to = "1234567"
			}
			before := n.storage.Log("a", 0).Config()
			if code := c.alter(kmsg.ConfigResourceTypeBroker, "", name, to); code != 0 {
				t.Errorf("alter %s: %v", name, code)
				continue
			}
			want, err := n.Config().Topic(nil)
			if err != nil {
				t.Fatal(err)
			}
			switch now := n.storage.Log("a", 0).Config(); {
			case reflect.DeepEqual(now, before):
				t.Errorf("%s is not in force", name)
			case !reflect.DeepEqual(now, want):
				t.Errorf("%s: in force is %+v, not %+v", name, now, want)
			}
			checked++
		}
		if checked < 15 {
			t.Errorf("only %d configs", checked)
		}
	})
}

// TestAlteredRetention: log.retention.ms is altered while the node runs, and the
// next search for old segments goes by it.
func TestAlteredRetention(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start("log.retention.check.interval.ms=60000")
		c := w.connect(n)
		c.mustCreate("a", 1)
		c.mustProduce("a", 0, "old")
		<-time.After(time.Hour)
		if start := n.storage.Log("a", 0).StartOffset(); start != 0 {
			t.Fatalf("the log starts at %d", start)
		}
		c = w.connect(n)
		if code := c.alter(kmsg.ConfigResourceTypeBroker, "", "log.retention.ms", "1000"); code != 0 {
			t.Fatalf("alter: %v", code)
		}
		<-time.After(2 * time.Minute)
		if start := n.storage.Log("a", 0).StartOffset(); start != 1 {
			t.Errorf("the log starts at %d", start)
		}
	})
}

// TestAlteredCleaner: the cleaner rests for hours, until its backoff is altered.
func TestAlteredCleaner(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start("log.cleaner.backoff.ms=86400000", "log.segment.bytes=1048576")
		c := w.connect(n)
		c.mustCreate("a", 1, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "segment.ms", "60000")
		for range 5 {
			c = w.connect(n)
			c.mustProduce("a", 0, strings.Repeat("x", 10_000))
			<-time.After(2 * time.Minute)
		}
		size := n.storage.Log("a", 0).Size()
		if size < 50_000 {
			t.Fatalf("the log has %d bytes before it is compacted", size)
		}
		c = w.connect(n)
		if code := c.alter(kmsg.ConfigResourceTypeBroker, "", "log.cleaner.backoff.ms", "1000"); code != 0 {
			t.Fatalf("alter: %v", code)
		}
		<-time.After(2 * time.Minute)
		if now := n.storage.Log("a", 0).Size(); now > size/2 {
			t.Errorf("of %d bytes %d are left", size, now)
		}
	})
}

// The level of the logger is altered in the node's own logger.
func TestAlteredLogLevel(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		env := w.env()
		env.LogLevel = new(slog.LevelVar)
		n, err := Start(t.Context(), load(t), env)
		w.must(err)
		defer n.Close()
		if code := w.connect(n).alter(kmsg.ConfigResourceTypeBrokerLogger, "1", "root", "ERROR"); code != 0 || env.LogLevel.Level() != slog.LevelError {
			t.Errorf("%v, level %v", code, env.LogLevel.Level())
		}
	})
}

// A stop answers what is under way, refuses what comes, and takes no longer
// than it must: not for an idle client, not for one that waits, not for one
// that does not read.
func TestStop(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("a", 1)
		c.mustProduce("a", 0, strings.Repeat("x", 500_000))
		w.connect(n) // idle

		waiting := w.connect(n)
		wait := kmsg.NewPtrFetchRequest()
		wait.Version, wait.ReplicaID, wait.MaxWaitMillis, wait.MinBytes, wait.MaxBytes, wait.SessionEpoch = 12, -1, 1<<30, 1, 1<<20, -1
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = "a"
		part := kmsg.NewFetchRequestTopicPartition()
		part.FetchOffset, part.PartitionMaxBytes = 1, 1<<20
		topic.Partitions = append(topic.Partitions, part)
		wait.Topics = append(wait.Topics, topic)
		w.must(waiting.send(wait))
		synctest.Wait()

		began := time.Now()
		closed := make(chan error, 1)
		go func() { closed <- n.Close() }()
		if resp, err := waiting.receive(wait); err != nil || len(resp.(*kmsg.FetchResponse).Topics) != 1 {
			t.Errorf("the fetch that waited: %+v, %v", resp, err)
		}
		if err := <-closed; err != nil {
			t.Errorf("close: %v", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
		if _, err := w.net.dial(n.Addr()); err == nil {
			t.Error("it still accepts connections")
		}
		if _, err := c.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("an idle connection after the stop: %v", err)
		}
	})
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("a", 1)
		c.mustProduce("a", 0, strings.Repeat("x", 500_000))
		deaf := w.connect(n)
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 12
		w.must(deaf.send(req)) // and never reads
		synctest.Wait()
		began := time.Now()
		_ = n.Close() // the answer that could not leave may be its error
		if took := time.Since(began); took > answerTimeout+time.Second {
			t.Errorf("the stop took %v for a client that does not read", took)
		}
		w.close(w.start())
	})
}

// A broker that the controller has let go stays gone: no heartbeat that is under
// way calls it back while it stops.
func TestStopStaysFenced(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start("broker.heartbeat.interval.ms=2")
		w.connect(n).mustCreate("a", 1)
		w.faults.Add(vfs.Rule{Op: vfs.OpSync, Path: "__cluster_metadata-0", Delay: 5 * time.Millisecond})
		closed := make(chan error, 1)
		go func() { closed <- n.Close() }()
		gone, again := false, false
		for ended := false; !ended; {
			select {
			case err := <-closed:
				w.must(err)
				ended = true
			case <-time.After(time.Millisecond):
			}
			fenced := n.controller.Image().Broker(n.static.NodeID).Fenced
			gone, again = gone || fenced, again || gone && !fenced
		}
		if !gone || again {
			t.Errorf("let go: %t, and called back: %t", gone, again)
		}
	})
}

// An acks=all record that waits for its flush when the node stops is answered.
func TestStopAnswersWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("a", 1)
		gate := make(chan struct{})
		w.faults.Add(vfs.Rule{Op: vfs.OpSync | vfs.OpSyncFS, Path: "/data/a-0", Hook: func(vfs.Event) { <-gate }})
		req := produceOf("a", 0, -1, batch(nil, "v"))
		w.must(c.send(req))
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- n.Close() }()
		synctest.Wait()
		w.faults.Clear()
		close(gate)
		resp, err := c.receive(req)
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		code := protocol.Code(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
		if err := <-closed; err != nil {
			t.Errorf("close: %v", err)
		}
		n = w.start()
		got, fetched := w.connect(n).fetch("a", 0)
		if fetched != 0 || code == protocol.None && !slices.Equal(got, []string{"v"}) {
			t.Errorf("answered %v; afterwards a-0 holds %q (%v)", code, got, fetched)
		}
	})
}

// A node that runs for long keeps its session, its metadata and its data in
// order without a client: a day passes in a moment.
func TestADayPasses(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("a", 1)
		for hour := range 24 {
			c = w.connect(n)
			c.mustProduce("a", 0, fmt.Sprint(hour))
			<-time.After(time.Hour)
			goesOn(t, n)
		}
		c = w.connect(n)
		if got, code := c.fetch("a", 0); code != 0 || len(got) != 24 {
			t.Errorf("%d records (%v), want 24", len(got), code)
		}
		if log := w.log.String(); strings.Contains(log, "ERROR") || strings.Contains(log, "WARN") {
			t.Errorf("the log has something to complain about:\n%s", log)
		}
	})
}

// A metadata log that hangs for longer than the broker's session costs the
// leadership, not the node: it comes back by itself.
func TestMetadataDiskHangs(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("a", 1)
		gate := make(chan struct{})
		w.faults.Add(vfs.Rule{Op: vfs.OpSync, Path: "__cluster_metadata-0", Hook: func(vfs.Event) { <-gate }})
		answered := make(chan protocol.Code, 1)
		go func() { answered <- c.create("b", 1) }()
		<-time.After(20 * time.Second)
		w.faults.Clear()
		close(gate)
		<-answered
		<-time.After(10 * time.Second)
		goesOn(t, n)
		c = w.connect(n)
		c.mustProduce("a", 0, "v")
		c.mustCreate("c", 1)
		c.mustProduce("c", 0, "v")
	})
}
