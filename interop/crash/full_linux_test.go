package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/clients"
	"ottla/interop/target"
	"ottla/interop/wire"
)

// TestDiskFull fills the disk of the data folder. Requirements:
//
//   - Producing is refused with a storage error that clients retry.
//   - Acknowledged records can be read.
//   - Metadata can change.
//   - The broker keeps running, and can be restarted on the full disk.
//   - It accepts records again when there is space: after a topic was deleted,
//     records were deleted, or the disk was enlarged.
//
// (Apache Kafka shuts down on a full disk, so this test cannot pass with it.)
func TestDiskFull(t *testing.T) {
	if target.Default() == target.Kafka {
		t.Skip("Apache Kafka ends itself when its only disk is full")
	}
	dir := smallDisk(t, 24)
	broker := target.Start(t, target.Options{Dir: dir})
	if err := clients.NewFranz(broker.Addr).Create(patient(t), "full", 1, nil); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"victim", "shrinking"} {
		if err := clients.NewFranz(broker.Addr).Create(patient(t), topic, 1, map[string]string{"segment.bytes": "1048576"}); err != nil {
			t.Fatal(err)
		}
		for n := range 40 {
			if _, code := produceOne(t, broker.Addr, topic, n); code != 0 {
				t.Fatal(kerr.ErrorForCode(code))
			}
		}
	}
	acked := make(map[position]string)

	fillDisk(t, broker, acked)
	if len(acked) < 10 {
		t.Fatalf("only %d records of 100 KiB fitted on the disk", len(acked))
	}
	t.Run("reads go on", func(t *testing.T) { readAcked(t, broker, acked) })
	t.Run("still refused", func(t *testing.T) {
		if _, code := produceOne(t, broker.Addr, "full", len(acked)); code != kerr.KafkaStorageError.Code {
			t.Errorf("got %v, want KAFKA_STORAGE_ERROR", kerr.ErrorForCode(code))
		}
	})
	t.Run("metadata goes on", func(t *testing.T) { changeMetadata(t, broker) })
	alive(t, broker)

	t.Run("restart", func(t *testing.T) {
		if err := broker.Stop(); err != nil {
			t.Errorf("stopping on a full disk: %v", err)
		}
		if err := broker.Up(); err != nil {
			t.Fatal(err)
		}
		readAcked(t, broker, acked)
	})
	t.Run("kill and restart", func(t *testing.T) {
		broker.Kill()
		if err := broker.Up(); err != nil {
			t.Fatal(err)
		}
		readAcked(t, broker, acked)
	})
	t.Run("a topic is deleted", func(t *testing.T) {
		goesOn(t, broker, acked, func(ctx context.Context, admin *kadm.Client) error {
			_, err := admin.DeleteTopic(ctx, "victim")
			return err
		})
	})
	t.Run("records are deleted", func(t *testing.T) {
		fillDisk(t, broker, acked)
		goesOn(t, broker, acked, func(ctx context.Context, admin *kadm.Client) error {
			var offsets kadm.Offsets
			offsets.AddOffset("shrinking", 0, -1, -1) // up to the high watermark
			deleted, err := admin.DeleteRecords(ctx, offsets)
			return errors.Join(err, deleted.Error())
		})
		fillDisk(t, broker, acked)
	})
	t.Run("room again", func(t *testing.T) {
		if err := mount(dir, 64, syscall.MS_REMOUNT); err != nil {
			t.Fatal(err)
		}
		before := len(acked)
		for range 5 {
			offset, code := produceOne(t, broker.Addr, "full", len(acked))
			if code != 0 {
				t.Fatalf("with room again: %v", kerr.ErrorForCode(code))
			}
			acked[position{0, offset}] = bigValue(len(acked))
		}
		if offset := int64(before); acked[position{0, offset}] == "" {
			t.Errorf("the records after the full disk do not follow offset %d", offset-1)
		}
		readAcked(t, broker, acked)
	})
}

// smallDisk mounts a tmpfs of some MiB.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		target.Missing(t, "root, to mount a small disk")
	}
	dir := t.TempDir()
	if err := mount(dir, mib, 0); err != nil {
		target.Missing(t, fmt.Sprintf("the right to mount a small disk (%v)", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func mount(dir string, mib int, flags uintptr) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("size=%dm", mib))
}

// fillDisk produces until the broker refuses.
func fillDisk(t *testing.T, broker *target.Broker, acked map[position]string) {
	t.Helper()
	const enough = 1000 // of 100 KiB: several disks
	for range enough {
		n := len(acked)
		offset, code := produceOne(t, broker.Addr, "full", n)
		switch code {
		case 0:
			acked[position{0, offset}] = bigValue(n)
		case kerr.KafkaStorageError.Code:
			return
		default:
			t.Fatalf("record %d: %v, want KAFKA_STORAGE_ERROR when the disk is full", n, kerr.ErrorForCode(code))
		}
	}
	t.Fatal("the disk did not get full")
}

// changeMetadata creates a topic and alters another, and checks the result.
func changeMetadata(t *testing.T, broker *target.Broker) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	if _, err := admin.CreateTopic(patient(t), 1, 1, nil, "made-on-a-full-disk"); err != nil {
		t.Errorf("making a topic: %v", err)
	}
	if _, err := admin.AlterTopicConfigs(patient(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kadm.StringPtr("2000000")}}, "full"); err != nil {
		t.Errorf("altering a topic: %v", err)
	}
	got, err := admin.DescribeTopicConfigs(patient(t), "full")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range got[0].Configs {
		if c.Key == "max.message.bytes" && c.MaybeValue() != "2000000" {
			t.Errorf("max.message.bytes is %q", c.MaybeValue())
		}
	}
}

// goesOn frees space and checks that the broker soon accepts records again.
func goesOn(t *testing.T, broker *target.Broker, acked map[position]string, free func(context.Context, *kadm.Client) error) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := patient(t)
	if err := free(ctx, kadm.NewClient(cl)); err != nil {
		t.Fatal(err)
	}
	for {
		n := len(acked)
		offset, code := produceOne(t, broker.Addr, "full", n)
		if code == 0 {
			acked[position{0, offset}] = bigValue(n)
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("still refused: %v", kerr.ErrorForCode(code))
		}
	}
	readAcked(t, broker, acked)
}

// bigValue is a value of about 100 KiB in the format of judge.
func bigValue(n int) string { return fmt.Sprintf("%0100000d 0 %d", 0, n) }

// produceOne sends one record with acks=all on a new connection, without a
// client that would retry.
func produceOne(t *testing.T, addr, topicName string, n int) (offset int64, code int16) {
	t.Helper()
	conn, err := wire.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 10_000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = wire.OneRecord(bigValue(n))
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.Partitions = topicName, append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	answer, err := conn.Request(req)
	if err != nil {
		t.Fatalf("producing record %d: %v", n, err)
	}
	got := answer.Response.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	return got.BaseOffset, got.ErrorCode
}

func readAcked(t *testing.T, broker *target.Broker, acked map[position]string) {
	t.Helper()
	records, err := readAll(patient(t), broker.Addr, "full")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range judge(records, acked) {
		t.Error(fault[:min(len(fault), 200)])
	}
}

// alive fails the test if the process has ended or does not respond.
func alive(t *testing.T, broker *target.Broker) {
	t.Helper()
	select {
	case <-broker.Done():
		t.Fatal("the broker ended")
	default:
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.Ping(patient(t)); err != nil {
		t.Fatal(errors.Join(errors.New("the broker does not answer"), err))
	}
}
