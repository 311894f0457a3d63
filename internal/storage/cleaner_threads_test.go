package storage

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// TestCleanerTakesSettings: the next pass has the memory that was set meanwhile.
func TestCleanerTakesSettings(t *testing.T) {
	c := newCleanTest(t, func(o *Options) { o.Logs.CleanerDedupeBufferSize = 3 * keySlotBytes })
	fill := func(i int) {
		c.put(record.BuilderOptions{}, kv("a", fmt.Sprint(i)), kv("b", "1"), kv("c", "1"), kv("d", "1"), kv("e", "1"), kv("f", "1"))
		c.roll()
		c.settled()
	}
	passes := func(when string, least, most int) {
		t.Helper()
		if n, err := c.m.Clean(); err != nil || n < least || n > most {
			t.Fatalf("%s: %d passes, %v", when, n, err)
		}
	}
	fill(1)
	passes("a map of two keys", 3, 9)
	c.m.Reconfigure(config.Logs{CleanerDedupeBufferSize: 1 << 20, CleanerIOBufferLoadFactor: 0.5, CleanerIOBufferSize: 64 << 10, CleanerThreads: 4, CleanerBackoff: time.Hour}, config.Producers{})
	if now, _ := c.m.cleaner.inForce(); now != (cleanerSettings{keyBytes: 256 << 10, readBytes: 8 << 10, load: 0.5, backoff: time.Hour}) {
		t.Errorf("in force is %+v", now)
	}
	fill(2)
	passes("a large map", 1, 1)
	c.close()
}

// TestCleanerReconfigured: while a node runs, another backoff and another number
// of threads hold at once, and a pass goes on at another rate.
func TestCleanerReconfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cleanTest{}
		c.oneLog = newLogTest(t, func(o *Options) {
			o.Default, o.manual = compactConfig(), false
			o.Logs = config.Logs{CleanerEnable: true, CleanerThreads: 1, CleanerBackoff: 1000 * time.Hour}
		})
		c.clock = &clock{startMs}
		synctest.Wait() // the thread found nothing to do
		due := func() {
			t.Helper()
			c.put(record.BuilderOptions{}, kv("a", "1"), kv("a", "2"))
			c.roll()
			c.settled()
		}
		compacted := func(when string, want bool) {
			t.Helper()
			synctest.Wait()
			c.Log.mu.Lock()
			cleaned, base := c.cleaned, c.active().base
			c.Log.mu.Unlock()
			if got := cleaned == base; got != want {
				t.Fatalf("%s: compacted to %d of %d", when, cleaned, base)
			}
		}
		threads := func() int {
			c.m.cleaner.mu.Lock()
			defer c.m.cleaner.mu.Unlock()
			return len(c.m.cleaner.threads)
		}
		due()
		compacted("the backoff is long", false)
		logs := config.Logs{CleanerThreads: 1, CleanerBackoff: time.Minute}
		c.m.Reconfigure(logs, config.Producers{})
		compacted("the backoff is short", true)
		due()
		compacted("the thread rests", false)
		<-time.After(time.Minute)
		compacted("a minute later", true)

		logs.CleanerThreads, logs.CleanerIOMaxBytesPerSecond = 3, 0.01
		c.m.Reconfigure(logs, config.Producers{})
		due()
		<-time.After(2 * time.Minute)
		compacted("at a hundredth of a byte a second", false)
		if n := threads(); n != 3 {
			t.Errorf("%d threads, not 3", n)
		}
		logs.CleanerThreads, logs.CleanerIOMaxBytesPerSecond = 1, 1<<40
		c.m.Reconfigure(logs, config.Producers{})
		compacted("without a limit", true)
		if n := threads(); n != 1 {
			t.Errorf("%d threads, not 1", n)
		}
		due()
		<-time.After(2 * time.Minute)
		compacted("by the thread that is left", true)
		if err := c.m.Close(-1); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

// TestReconfiguredDirs: a dir that is cordoned while the node runs takes no new
// partitions, and others again when it is not.
func TestReconfiguredDirs(t *testing.T) {
	o := testOptions(vfs.NewMem())
	o.Dirs = []string{"/one", "/two"}
	m := openManager(t, o)
	for i, cordoned := range []string{"/one", "/two", "/one"} {
		m.Reconfigure(config.Logs{CordonedDirs: []string{cordoned}}, config.Producers{})
		for k := range 3 {
			l, err := m.Create(TopicPartition{Topic: fmt.Sprint("t", i), Partition: int32(k), TopicID: [16]byte{byte(i + 1)}}, o.Default, [16]byte{})
			if err != nil {
				t.Fatal(err)
			}
			if l.dir.path == cordoned {
				t.Errorf("partition %d is in %s, which is cordoned", k, cordoned)
			}
		}
	}
	if err := m.Close(-1); err != nil {
		t.Fatal(err)
	}
}

// TestReconfiguredExpiry: producer.id.expiration.ms holds from the next search
// on.
func TestReconfiguredExpiry(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Producers.IDExpiration = time.Hour })
	if _, err := o.from(7, 0, 0, 3); err != nil {
		t.Fatal(err)
	}
	o.time.ms += time.Minute.Milliseconds()
	o.m.ExpireProducers()
	if n := len(o.Producers()); n != 1 {
		t.Fatalf("%d producers", n)
	}
	o.m.Reconfigure(config.Logs{}, config.Producers{IDExpiration: time.Second})
	o.m.ExpireProducers()
	if n := len(o.Producers()); n != 0 {
		t.Fatalf("%d producers are remembered for longer than a second", n)
	}
	o.close()
}
