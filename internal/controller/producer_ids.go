package controller

import (
	"context"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// A broker gets a share of all producer ids that are left at a time: wide, since
// it leaves gaps between those that it hands out. The share bounds how much a
// restart loses, so that they never run out.
const (
	producerIDShare    = 1 << 31
	minProducerIDBlock = 1000
	maxProducerIDBlock = math.MaxInt32 // as long as the length of a block can be
)

// firstProducerIDs bounds where the first block of a cluster begins, at random.
const firstProducerIDs = 1 << 60

// AllocateProducerIDs hands a broker a block of producer ids. No id is ever
// handed out twice (T1): the block is the broker's once its record is
// committed, and a broker that stops loses the rest of its block.
func (c *Controller) AllocateProducerIDs(ctx context.Context, req *kmsg.AllocateProducerIDsRequest) *kmsg.AllocateProducerIDsResponse {
	resp, err := submit(ctx, c, func(v *view) (outcome[*kmsg.AllocateProducerIDsResponse], error) {
		records, resp, err := allocateProducerIDs(v, req)
		return outcome[*kmsg.AllocateProducerIDsResponse]{records: records, reply: resp}, err
	})
	if err != nil {
		resp = req.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
		resp.ErrorCode = code(err)
	}
	return resp
}

func allocateProducerIDs(v *view, req *kmsg.AllocateProducerIDsRequest) ([]metadata.Message, *kmsg.AllocateProducerIDsResponse, error) {
	if err := v.checkBrokerEpoch(req.BrokerID, req.BrokerEpoch); err != nil {
		return nil, nil, err
	}
	first := v.img.NextProducerID()
	if first <= 0 {
		first = v.rand.Int64N(firstProducerIDs)
	}
	left := math.MaxInt64 - first
	if left < minProducerIDBlock {
		return nil, nil, protocol.Errorf(protocol.UnknownServerError, "all producer ids are used up")
	}
	count := min(max(left/producerIDShare, minProducerIDBlock), maxProducerIDBlock)
	resp := req.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
	resp.ProducerIDStart, resp.ProducerIDLen = first, int32(count)
	return []metadata.Message{&metadata.ProducerIdsRecord{
		BrokerID: req.BrokerID, BrokerEpoch: req.BrokerEpoch, NextProducerID: first + count,
	}}, resp, nil
}
