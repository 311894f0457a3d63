package controller

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// BenchmarkRestart is what a restart after kill -9 costs the controller of a
// node with 10,000 partitions: registration, unfencing, and both committed
// batches folded twice.
func BenchmarkRestart(b *testing.B) {
	c, q := oneNode(b)
	for i := range 10_000 {
		create(b, c, fmt.Sprint("topic-", i), 1)
	}
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		q.log = nil
		c.BrokerDisconnected(1, c.Image().Broker(1).Epoch)
		reg := c.RegisterBroker(context.Background(), registration(1, byte(2+i%100)))
		beat := c.BrokerHeartbeat(context.Background(), &kmsg.BrokerHeartbeatRequest{BrokerID: 1, BrokerEpoch: reg.BrokerEpoch, CurrentMetadataOffset: c.Image().Offset})
		if reg.ErrorCode != 0 || beat.IsFenced {
			b.Fatal(reg, beat)
		}
	}
}

// BenchmarkCreateTopic creates one topic more among 10,000.
func BenchmarkCreateTopic(b *testing.B) {
	c, q := oneNode(b)
	for i := range 10_000 {
		create(b, c, fmt.Sprint("topic-", i), 1)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.log = nil
		create(b, c, fmt.Sprint("more-", i), 1)
	}
}

// BenchmarkHeartbeat is a heartbeat that changes nothing, among 10,000 topics.
func BenchmarkHeartbeat(b *testing.B) {
	c, _ := oneNode(b)
	for i := range 10_000 {
		create(b, c, fmt.Sprint("topic-", i), 1)
	}
	req := &kmsg.BrokerHeartbeatRequest{BrokerID: 1, BrokerEpoch: c.Image().Broker(1).Epoch, CurrentMetadataOffset: c.Image().Offset}
	b.ReportAllocs()
	for b.Loop() {
		if resp := c.BrokerHeartbeat(context.Background(), req); resp.ErrorCode != 0 {
			b.Fatal(resp)
		}
	}
}
