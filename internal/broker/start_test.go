package broker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
	"ottla/internal/vfs"
)

// A node that was stopped finds everything again: cluster, topics, configs,
// records, producers.
func TestRestart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("a", 3, "retention.ms", "123456")
		for i := range 5 {
			c.mustProduce("a", int32(i%3), fmt.Sprint("v", i))
		}
		cluster := n.ClusterID()
		w.close(n)
		if err := n.Wait(); err != nil {
			t.Errorf("Wait after Close: %v", err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
		if _, err := w.mem.Stat("/data/.kafka_cleanshutdown"); err != nil {
			t.Errorf("no mark of a clean stop: %v", err)
		}
		for range 3 {
			n = w.start()
			if n.ClusterID() != cluster {
				t.Errorf("cluster %s became %s", cluster, n.ClusterID())
			}
			c = w.connect(n)
			for p, want := range [][]string{{"v0", "v3"}, {"v1", "v4"}, {"v2"}} {
				if got, code := c.fetch("a", int32(p)); code != 0 || !slices.Equal(got, want) {
					t.Errorf("a-%d holds %q (%v), want %q", p, got, code, want)
				}
			}
			req := kmsg.NewPtrDescribeConfigsRequest()
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, "a", []string{"retention.ms"}
			req.Resources = append(req.Resources, r)
			if got := ask[*kmsg.DescribeConfigsResponse](c, 4, req).Resources[0].Configs[0]; *got.Value != "123456" {
				t.Errorf("retention.ms is %s", *got.Value)
			}
			w.close(n)
		}
	})
}

// holdEnv makes the test binary a node in a folder, until its standard input
// ends.
const holdEnv = "OTTLA_TEST_HOLD"

func hold(dir string) int {
	n, err := Start(context.Background(), onDisk(dir), OS(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println(n.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := n.Close(); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

// other is another process that runs a node.
type other struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	addr string
}

// run starts another process with a node in dir.
func run(t *testing.T, dir string) *other {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := &other{cmd: exec.Command(self)}
	o.cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = o.cmd.Process.Kill() // it may have ended
		_ = o.cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	o.addr = strings.TrimSpace(line)
	if err != nil || strings.HasPrefix(o.addr, "error") {
		t.Fatalf("the other process: %s, %v", o.addr, err)
	}
	return o
}

// A node on the machine's own files and sockets: started, stopped, killed, and
// refused beside another process.
func TestOnTheMachine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	write := func(addr, value string) {
		t.Helper()
		client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	first := run(t, dir)
	write(first.addr, "one")
	_, err := Start(t.Context(), onDisk(dir), OS(slog.New(slog.DiscardHandler)))
	if !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder in use by another process: %v", err)
	}
	write(first.addr, "two")
	if err := first.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = first.cmd.Wait() // it was killed
	second := run(t, dir)
	write(second.addr, "three")
	_ = second.in.Close()
	if err := second.cmd.Wait(); err != nil {
		t.Errorf("the second process: %v", err)
	}
	n, err := Start(t.Context(), onDisk(dir), OS(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(n.Addr()), kgo.ConsumeTopics("t"), kgo.FetchMaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got []string
	for len(got) < 3 && t.Context().Err() == nil {
		for _, r := range client.PollFetches(t.Context()).Records() {
			got = append(got, fmt.Sprint(string(r.Value), "@", r.Offset))
		}
	}
	if want := []string{"one@0", "two@1", "three@2"}; !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	if meta, err := kadm.NewClient(client).BrokerMetadata(t.Context()); err != nil || meta.Cluster != n.ClusterID() {
		t.Errorf("cluster %s, want %s (%v)", meta.Cluster, n.ClusterID(), err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// TestRefusals has a row for each way in which a start must not happen: one
// clear error, and not a byte changed.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(w *world)
		set     []string
		words   []string
	}{
		{"a folder in use", func(w *world) { w.start("listeners=PLAINTEXT://127.0.0.1:9999") }, nil, []string{"/data", "lock"}},
		{"another node", func(w *world) { w.close(w.start()) }, []string{"node.id=2"}, []string{"/data", "node", "1", "2"}},
		{
			"another cluster", func(w *world) { w.close(w.start()) }, []string{"ottla.cluster.id=AAAAAAAAQACAAAAAAAAAAA"},
			[]string{"/data", "cluster", "AAAAAAAAQACAAAAAAAAAAA"},
		},
		{"a port in use", func(w *world) { w.listenAt(":9092") }, nil, []string{"PLAINTEXT", "in use"}},
		{
			"the second port in use", func(w *world) { w.listenAt(":9093") }, []string{"listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"},
			[]string{"CONTROLLER", "in use"},
		},
		{"a damaged meta.properties", func(w *world) {
			w.close(w.start())
			w.must(vfs.WriteFileAtomic(w.mem, "/data/meta.properties", []byte("version=1\nnode.id=x\n"), 0o644))
		}, nil, []string{"meta.properties"}},
		{"a full folder without meta.properties", func(w *world) {
			w.fill()
			w.must(w.mem.Remove("/data/meta.properties"))
		}, nil, []string{"/data", "__cluster_metadata-0", "meta.properties is missing", "put the file back"}},
		{"one full dir of two without meta.properties", func(w *world) {
			w.fill("log.dirs=/data,/more")
			w.must(w.mem.Remove("/more/meta.properties"))
		}, []string{"log.dirs=/data,/more"}, []string{"/more", "meta.properties is missing", "node.id=1", "cluster.id=", "as in /data"}},
		{"the first of two dirs without meta.properties", func(w *world) {
			w.fill("log.dirs=/data,/more")
			w.must(w.mem.Remove("/data/meta.properties"))
		}, []string{"log.dirs=/data,/more"}, []string{"/data", "meta.properties is missing", "as in /more"}},
		{"no metadata log", func(w *world) {
			w.fill()
			w.must(w.mem.RemoveAll("/data/__cluster_metadata-0"))
		}, nil, []string{"/data/__cluster_metadata-0", "missing", "/data/t-0"}},
		{"the metadata log in another dir", func(w *world) {
			w.fill("log.dirs=/data,/more", "metadata.log.dir=/more")
		}, []string{"log.dirs=/data,/more"}, []string{"metadata.log.dir=/more"}},
		{"dirs of two clusters", func(w *world) {
			w.fill()
			w.fill("log.dirs=/other")
		}, []string{"log.dirs=/data,/other"}, []string{"/data", "/other", "different clusters"}},
		{"a copy of a dir", func(w *world) {
			w.fill()
			w.must(w.mem.MkdirAll("/copy", 0o755))
			content, err := vfs.ReadFile(w.mem, "/data/meta.properties")
			w.must(err)
			w.must(vfs.WriteFileAtomic(w.mem, "/copy/meta.properties", content, 0o644))
		}, []string{"log.dirs=/data,/copy"}, []string{"/data", "/copy", "directory.id"}},
		{"a new cluster beside a dir that cannot be read", func(w *world) {
			w.fill()
			w.faults.Add(vfs.Rule{Op: vfs.OpReadDir, Path: "/data", Err: syscall.EIO})
		}, []string{"log.dirs=/data,/new", "metadata.log.dir=/new"}, []string{"/data", "cannot be read"}},
		{"a damaged bootstrap.checkpoint of Kafka's", func(w *world) {
			w.must(w.mem.MkdirAll("/data", 0o755))
			w.must(vfs.WriteFileAtomic(w.mem, "/data/bootstrap.checkpoint", []byte("x"), 0o644))
		}, nil, []string{"/data/bootstrap.checkpoint", "corrupt"}},
	} {
		bubble(t, func(t *testing.T, w *world) {
			c.prepare(w)
			before := w.files()
			listening := len(w.net.listeners)
			n, err := w.tryStart(c.set...)
			if err == nil {
				n.Close()
				t.Fatalf("%s: started", c.name)
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %q has no %q", c.name, err, word)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: more than one line: %q", c.name, err)
			}
			if after := w.files(); !maps.Equal(before, after) {
				t.Errorf("%s: files changed: %v, then %v", c.name, slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
			}
			if len(w.net.listeners) != listening {
				t.Errorf("%s: a listener is left open", c.name)
			}
		})
	}
}

// fill lets a node make a folder with a topic in each log dir.
func (w *world) fill(set ...string) {
	w.Helper()
	n := w.start(set...)
	c := w.connect(n)
	c.mustCreate("t", 4)
	for p := range int32(4) {
		c.mustProduce("t", p, "v")
	}
	w.close(n)
}

// listenAt takes a port.
func (w *world) listenAt(addr string) {
	w.Helper()
	l, err := w.net.listen("tcp", addr)
	w.must(err)
	w.Cleanup(func() { l.Close() })
}

// Nobody connects before the node is ready, a listener on port 0 gets one, and
// an empty host becomes the machine's name.
func TestAddresses(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start("listeners=PLAINTEXT://:0,INNER://127.0.0.1:0,CONTROLLER://127.0.0.1:0", "listener.security.protocol.map=INNER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT", "inter.broker.listener.name=INNER")
		host, port, err := net.SplitHostPort(n.Addr())
		if err != nil || host != "machine" || port == "0" {
			t.Errorf("advertised %s", n.Addr())
		}
		c := w.connect(n)
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{}
		got := ask[*kmsg.MetadataResponse](c, 12, req).Brokers
		if len(got) != 1 || net.JoinHostPort(got[0].Host, fmt.Sprint(got[0].Port)) != n.Addr() {
			t.Errorf("a client is told %+v, want %s", got, n.Addr())
		}
		quorum := kmsg.NewPtrDescribeQuorumRequest()
		topic := kmsg.NewDescribeQuorumRequestTopic()
		topic.Topic = "__cluster_metadata"
		topic.Partitions = make([]kmsg.DescribeQuorumRequestTopicPartition, 1)
		quorum.Topics = append(quorum.Topics, topic)
		nodes := ask[*kmsg.DescribeQuorumResponse](c, 2, quorum).Nodes
		if len(nodes) != 1 || len(nodes[0].Listeners) != 1 || nodes[0].Listeners[0].Port == 0 {
			t.Errorf("the controller's endpoints are %+v", nodes)
		}
	})
}

// A start that is cancelled, before or in its midst, leaves nothing behind.
func TestStartIsCancelled(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if n, err := Start(ctx, load(t), w.env()); err == nil {
			n.Close()
			t.Error("started with a context that is over")
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		gate := make(chan struct{})
		w.faults.Add(vfs.Rule{Op: vfs.OpSync, Path: "__cluster_metadata-0", Skip: 3, Hook: func(vfs.Event) { <-gate }})
		ctx, cancel = context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		failed := make(chan error, 1)
		go func() {
			n, err := Start(ctx, load(t), w.env())
			if err == nil {
				n.Close()
			}
			failed <- err
		}()
		<-time.After(2 * time.Second)
		w.faults.Clear()
		close(gate)
		if err := <-failed; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a disk that hangs: %v", err)
		}
		w.close(w.start())
	})
}

// Each I/O of a start fails once: it starts all the same, or fails with what
// happened, gives everything back, and the next start works.
func TestStartFailsAtEachIO(t *testing.T) {
	const kinds = vfs.OpChange | vfs.OpRead | vfs.OpOpen | vfs.OpReadDir | vfs.OpStat | vfs.OpLock
	for _, again := range []bool{false, true} {
		var total int
		bubble(t, func(t *testing.T, w *world) {
			before := 0
			if again {
				w.prepareData()
				before = w.faults.Count(kinds)
			}
			w.close(w.start())
			total = w.faults.Count(kinds) - before
		})
		if total < 30 {
			t.Fatalf("a start has %d I/Os: too few to be true", total)
		}
		failed := 0
		for k := range total {
			bubble(t, func(t *testing.T, w *world) {
				if again {
					w.prepareData()
				}
				w.faults.Add(vfs.Rule{Op: kinds, Skip: k, Count: 1, Err: syscall.EIO})
				n, err := w.tryStart()
				if err == nil {
					_ = n.Close() // it may fail with the fault
				} else {
					failed++
					if !errors.Is(err, syscall.EIO) {
						t.Errorf("I/O %d: %v", k, err)
					}
				}
				w.faults.Clear()
				n = w.start()
				if again {
					if got, code := w.connect(n).fetch("a", 0); code != 0 || !slices.Equal(got, []string{"v"}) {
						t.Errorf("I/O %d: afterwards a-0 holds %q (%v)", k, got, code)
					}
				}
				w.close(n)
			})
		}
		t.Logf("again %v: %d of %d I/Os made the start fail", again, failed, total)
	}
}

// prepareData leaves a folder with a topic and a record in it.
func (w *world) prepareData() {
	w.Helper()
	n := w.start()
	c := w.connect(n)
	c.mustCreate("a", 1)
	c.mustProduce("a", 0, "v")
	w.close(n)
}

// Unknown to the cluster is unknown to the client, also right after the start.
func TestFreshNodeHasNoTopics(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.connect(w.start())
		if _, code := c.fetch("a", 0); code != protocol.UnknownTopicOrPartition {
			t.Errorf("fetch: %v", code)
		}
	})
}
