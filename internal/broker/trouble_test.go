package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
	"ottla/internal/vfs"
)

// ended waits until a node has ended by itself, and returns why.
func ended(t *testing.T, n *Node) error {
	t.Helper()
	synctest.Wait()
	select {
	case <-n.ended:
		return n.Wait()
	default:
		t.Fatal("the node goes on")
		return nil
	}
}

// goesOn checks that a node has not ended.
func goesOn(t *testing.T, n *Node) {
	t.Helper()
	synctest.Wait()
	select {
	case <-n.ended:
		t.Fatalf("the node has ended: %v", n.Wait())
	default:
	}
}

// A node whose only log dir fails, by a record or by the metadata, ends with
// that error; nothing that was acknowledged is lost (P12, fsyncgate).
func TestLogDirFails(t *testing.T) {
	for _, c := range []struct {
		name string
		rule vfs.Rule
	}{
		{"a flush of records", vfs.Rule{Op: vfs.OpSync, Path: "/a-0"}},
		{"a write of records", vfs.Rule{Op: vfs.OpWrite, Path: "/a-0/"}},
		{"a flush of metadata", vfs.Rule{Op: vfs.OpSync, Path: "__cluster_metadata-0/"}},
		{"a write of metadata", vfs.Rule{Op: vfs.OpWrite, Path: "__cluster_metadata-0/"}},
	} {
		bubble(t, func(t *testing.T, w *world) {
			n := w.start()
			c1 := w.connect(n)
			c1.mustCreate("a", 1)
			c1.mustProduce("a", 0, "kept")
			c.rule.Err, c.rule.Count = syscall.EIO, 1
			w.faults.Add(c.rule)
			if strings.Contains(c.rule.Path, "a-0/") && c.rule.Path != "/a-0/" {
				_, _ = c1.try(createOf("b")) // the answer, or its lack, does not matter
			} else {
				resp, err := c1.try(produceOf("a", 0, -1, batch(nil, "lost")))
				if err == nil && resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode == 0 {
					t.Errorf("%s: a record is acknowledged all the same", c.name)
				}
			}
			err := ended(t, n)
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: the node ended with %v", c.name, err)
			}
			if err := n.Close(); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: Close returned %v", c.name, err)
			}
			if len(w.net.listeners) > 0 {
				t.Errorf("%s: a listener is left open", c.name)
			}
			w.faults.Clear()
			n = w.start()
			got, code := w.connect(n).fetch("a", 0)
			if code != 0 || len(got) == 0 || got[0] != "kept" {
				t.Errorf("%s: afterwards a-0 holds %q (%v)", c.name, got, code)
			}
		})
	}
}

func createOf(name string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 1000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 50, 1
	req.Topics = append(req.Topics, topic)
	return req
}

// Of two log dirs the one without the metadata fails: its partitions are given
// up, and named offline; the others go on, and a restart brings them back.
func TestOneLogDirFails(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const dirs = "log.dirs=/data,/more"
		n := w.start(dirs)
		c := w.connect(n)
		c.mustCreate("t", 4)
		var here, there int32 = -1, -1 // a partition in each dir
		for p := range int32(4) {
			c.mustProduce("t", p, fmt.Sprint("v", p))
			if _, err := w.mem.Stat(fmt.Sprintf("/more/t-%d", p)); err == nil {
				there = p
			} else {
				here = p
			}
		}
		if here < 0 || there < 0 {
			t.Fatalf("all partitions are in one dir")
		}
		w.faults.Add(vfs.Rule{Op: vfs.OpSync | vfs.OpSyncFS, Path: "/more", Err: syscall.EIO})
		if _, code := c.produce("t", there, "lost"); code != protocol.KafkaStorageError && code != protocol.NotLeaderOrFollower {
			t.Errorf("produce to the failed dir: %v", code)
		}
		<-time.After(5 * time.Second) // the controller has heard of it
		goesOn(t, n)
		if got, code := c.fetch("t", there); code == 0 {
			t.Errorf("fetch from the failed dir: %q", got)
		}
		notReady(t, n, "log dirs are offline: /more")
		c.mustProduce("t", here, "more")
		if got, code := c.fetch("t", here); code != 0 || len(got) != 2 {
			t.Errorf("fetch from the other dir: %q (%v)", got, code)
		}
		meta := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr("t")
		meta.Topics = append(meta.Topics, topic)
		for _, p := range ask[*kmsg.MetadataResponse](c, 12, meta).Topics[0].Partitions {
			_, err := w.mem.Stat(fmt.Sprintf("/more/t-%d", p.Partition))
			if offline := err == nil; offline != (len(p.OfflineReplicas) > 0) || offline != (p.Leader == -1) {
				t.Errorf("partition %d, offline %v: %+v", p.Partition, offline, p)
			}
		}
		for _, d := range ask[*kmsg.DescribeLogDirsResponse](c, 4, kmsg.NewPtrDescribeLogDirsRequest()).Dirs {
			want := protocol.None
			if d.Dir == "/more" {
				want = protocol.KafkaStorageError
			}
			wantCode(t, d.Dir, d.ErrorCode, want)
		}
		c.mustCreate("new", 4) // which goes where there is a dir
		for p := range int32(4) {
			c.mustProduce("new", p, "v")
		}
		_ = n.Close() // the failed dir has something to say
		w.faults.Clear()
		n = w.start(dirs)
		c = w.connect(n)
		for p := range int32(4) {
			if got, code := c.fetch("t", p); code != 0 || len(got) == 0 || got[0] != fmt.Sprint("v", p) {
				t.Errorf("after a restart t-%d holds %q (%v)", p, got, code)
			}
			c.mustProduce("t", p, "after")
		}
	})
}

// A full disk without a reserve: produce is refused by an error that clients retry, reads go on,
// nothing acknowledged is lost, the node lives, and works again as soon as there
// is space.
func TestDiskFull(t *testing.T) {
	for _, durability := range []string{"fsync", "page-cache"} {
		bubble(t, func(t *testing.T, w *world) {
			n := w.start("ottla.durability="+durability, "log.segment.bytes=1048576", "ottla.disk.reserve.bytes=0")
			c := w.connect(n)
			c.mustCreate("a", 1)
			var acked []string
			big := strings.Repeat("x", 3000)
			write := func() protocol.Code {
				value := fmt.Sprint(len(acked), big)
				_, code := c.produce("a", 0, value)
				if code == protocol.None {
					acked = append(acked, value)
				}
				return code
			}
			for range 5 {
				write()
			}
			usage, err := w.mem.Usage("/data")
			w.must(err)
			w.mem.SetCapacity(int64(usage.Total-usage.Free) + 8*vfs.BlockSize)
			refused := 0
			for range 30 {
				switch code := write(); code {
				case protocol.None:
				case protocol.KafkaStorageError:
					refused++
				default:
					t.Errorf("%s: a full disk is %v", durability, code)
				}
			}
			notReady(t, n, "log dirs are full, records are refused: /data")
			if refused < 10 {
				t.Errorf("%s: %d of 30 refused", durability, refused)
			}
			// A topic that is made now may have no room for its logs yet.
			created, err := c.try(createOf("b"))
			w.must(err)
			<-time.After(time.Minute) // checkpoints, heartbeats and retention come by
			goesOn(t, n)
			c = w.connect(n)
			if got, code := c.fetch("a", 0); code != 0 || !slices.Equal(got, acked) {
				t.Errorf("%s: reads on a full disk: %d records (%v), want %d", durability, len(got), code, len(acked))
			}
			w.mem.SetCapacity(0)
			<-time.After(time.Minute)
			for range 5 {
				if code := write(); code != protocol.None {
					t.Errorf("%s: with space again: %v", durability, code)
				}
			}
			if created.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode == 0 {
				for p := range int32(50) {
					c.mustProduce("b", p, "v")
				}
			}
			w.close(n)
			n = w.start("ottla.durability=" + durability)
			if got, code := w.connect(n).fetch("a", 0); code != 0 || !slices.Equal(got, acked) {
				t.Errorf("%s: after a restart: %d records (%v), want %d", durability, len(got), code, len(acked))
			}
		})
	}
}

// A full disk with a reserve: producers are refused, and the metadata goes on:
// a topic is altered, made (without room for its logs) and deleted, which gives
// producers their space back without a restart. A node that is killed starts
// there and reads.
func TestReserveOnAFullDisk(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start("ottla.disk.reserve.bytes=65536")
		c := w.connect(n)
		c.mustCreate("a", 1)
		c.mustCreate("victim", 1)
		big := strings.Repeat("x", 3000)
		for range 300 {
			c.mustProduce("victim", 0, big)
		}
		usage, err := w.mem.Usage("/data")
		w.must(err)
		w.mem.SetCapacity(int64(usage.Total-usage.Free) + 20*vfs.BlockSize)
		var acked []string
		for refused := 0; refused < 5; {
			value := fmt.Sprint(len(acked), big)
			switch _, code := c.produce("a", 0, value); code {
			case protocol.None:
				acked = append(acked, value)
			case protocol.KafkaStorageError:
				refused++
			default:
				t.Fatalf("a full disk is %v", code)
			}
		}
		notReady(t, n, "log dirs are full, records are refused: /data")
		c.mustCreate("b", 1)
		if _, code := c.produce("b", 0, "v"); code != protocol.KafkaStorageError {
			t.Errorf("a partition without room: %v", code)
		}
		<-time.After(time.Minute) // checkpoints, heartbeats and retention come by
		goesOn(t, n)
		if log := w.log.String(); strings.Contains(log, "changes of metadata wait") || !strings.Contains(log, "log dir is full") {
			t.Errorf("the metadata found no room:\n%s", log)
		}
		killed := w.mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})
		w.close(n)
		w.mem, w.faults = killed, vfs.NewFault(killed)
		n = w.start("ottla.disk.reserve.bytes=65536")
		c = w.connect(n)
		if got, code := c.fetch("a", 0); code != 0 || !slices.Equal(got, acked) {
			t.Errorf("reads after a crash on a full disk: %d records (%v), want %d", len(got), code, len(acked))
		}
		if _, code := c.produce("a", 0, big); code != protocol.KafkaStorageError {
			t.Errorf("after a crash on a full disk: %v", code)
		}
		notReady(t, n, "log dirs are full, records are refused: /data")
		c.delete("victim")
		<-time.After(10 * time.Second)
		notReady(t, n, "")
		c.mustProduce("a", 0, "more")
		c.mustProduce("b", 0, "v")
	})
}

// A node without a reserve that begins on a full disk says so and waits; it
// goes on as soon as there is space, with everything that was acknowledged.
func TestStartOnAFullDisk(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start("ottla.disk.reserve.bytes=0")
		c := w.connect(n)
		c.mustCreate("a", 1)
		c.mustProduce("a", 0, "kept")
		usage, err := w.mem.Usage("/data")
		w.must(err)
		killed := w.mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})
		w.close(n)
		w.mem, w.faults = killed, vfs.NewFault(killed)
		w.mem.SetCapacity(int64(usage.Total - usage.Free))
		started := make(chan *Node, 1)
		go func() { started <- w.start("ottla.disk.reserve.bytes=0") }()
		<-time.After(10 * time.Second)
		if log := w.log.String(); !strings.Contains(log, "no space left") {
			t.Errorf("nobody says that the disk is full:\n%s", log)
		}
		w.mem.SetCapacity(0)
		began := time.Now()
		n = <-started
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v to see that there is space again", took)
		}
		c = w.connect(n)
		if got, code := c.fetch("a", 0); code != 0 || !slices.Equal(got, []string{"kept"}) {
			t.Errorf("with space again a-0 holds %q (%v)", got, code)
		}
		c.mustProduce("a", 0, "more")
	})
}

// A topic whose logs find no room when it is made gets them as soon as there is
// some, without a restart.
func TestTopicWithoutRoom(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		w.faults.Add(vfs.Rule{Op: vfs.OpMkdir | vfs.OpCreate | vfs.OpWrite, Path: "/data/b-1", Err: syscall.ENOSPC})
		c.mustCreate("b", 2)
		c.mustProduce("b", 0, "v")
		if _, code := c.produce("b", 1, "v"); code != protocol.KafkaStorageError {
			t.Errorf("without room: %v", code)
		}
		goesOn(t, n)
		w.faults.Clear()
		<-time.After(10 * time.Second)
		c.mustProduce("b", 1, "v")
		c.delete("b")
	})
}

// notReady compares why the node is not ready; empty: it is.
func notReady(t *testing.T, n *Node, want string) {
	t.Helper()
	var why []string
	for _, c := range n.ready() {
		if c.Err != nil {
			why = append(why, c.Err.Error())
		}
	}
	if got := strings.Join(why, "; "); got != want {
		t.Errorf("not ready because of %q, want %q", got, want)
	}
}
