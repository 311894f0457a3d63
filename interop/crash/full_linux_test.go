package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/clients"
	"ottla/interop/target"
	"ottla/interop/wire"
)

// TestDiskFull fills the disk under the data folder. Producing is then refused
// with a storage error that clients try again; what was acknowledged can be
// read; the broker lives, starts again on the full disk, and goes on when there
// is room. (Apache Kafka ends itself: with it, this test cannot pass.)
func TestDiskFull(t *testing.T) {
	if target.Default() == target.Kafka {
		t.Skip("Apache Kafka ends itself when its only disk is full")
	}
	dir := smallDisk(t, 24)
	broker := target.Start(t, target.Options{Dir: dir})
	if err := clients.NewFranz(broker.Addr).Create(patient(t), "full", 1, nil); err != nil {
		t.Fatal(err)
	}
	acked := make(map[position]string)

	fillDisk(t, broker, acked)
	if len(acked) < 10 {
		t.Fatalf("only %d records of 100 KiB fitted on the disk", len(acked))
	}
	t.Run("reads go on", func(t *testing.T) { readAcked(t, broker, acked) })
	t.Run("still refused", func(t *testing.T) {
		if _, code := produceOne(t, broker.Addr, len(acked)); code != kerr.KafkaStorageError.Code {
			t.Errorf("got %v, want KAFKA_STORAGE_ERROR", kerr.ErrorForCode(code))
		}
	})
	alive(t, broker)

	t.Run("restart", func(t *testing.T) {
		// A clean shutdown writes checkpoints, for which there is no room.
		if err := broker.Stop(); err != nil && !strings.Contains(broker.Log(), "no space left") {
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
	t.Run("room again", func(t *testing.T) {
		if err := mount(dir, 64, syscall.MS_REMOUNT); err != nil {
			t.Fatal(err)
		}
		before := len(acked)
		for range 5 {
			offset, code := produceOne(t, broker.Addr, len(acked))
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
	for n := range enough {
		offset, code := produceOne(t, broker.Addr, n)
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

// bigValue is a value of about 100 KiB in the form that the judge reads.
func bigValue(n int) string { return fmt.Sprintf("%0100000d 0 %d", 0, n) }

// produceOne sends one record with acks=all on a connection of its own, without
// a client that would try again.
func produceOne(t *testing.T, addr string, n int) (offset int64, code int16) {
	t.Helper()
	conn, err := wire.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 10_000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = oneRecord(bigValue(n))
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.Partitions = "full", append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	answer, err := conn.Request(req)
	if err != nil {
		t.Fatalf("producing record %d: %v", n, err)
	}
	got := answer.Response.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	return got.BaseOffset, got.ErrorCode
}

// oneRecord is a batch of one record without a key.
func oneRecord(value string) []byte {
	record := kmsg.Record{Value: []byte(value)}
	body := record.AppendTo(nil)[1:] // without the length, which is not known yet: one byte for 0
	record.Length = int32(len(body))
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1,
		Records: record.AppendTo(nil),
	}
	const beforeCRC, length = 21, 8
	raw := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[length:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[beforeCRC-4:], crc32.Checksum(raw[beforeCRC:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
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

// alive fails the test when the process has ended or does not answer.
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
