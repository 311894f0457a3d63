package controller

import (
	"context"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// producerIDBlock is how many producer ids a broker gets at a time.
const producerIDBlock = 1000

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
	first := max(v.img.NextProducerID(), 0)
	if first > math.MaxInt64-producerIDBlock {
		return nil, nil, protocol.Errorf(protocol.UnknownServerError, "all producer ids are used up")
	}
	resp := req.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
	resp.ProducerIDStart, resp.ProducerIDLen = first, producerIDBlock
	return []metadata.Message{&metadata.ProducerIdsRecord{
		BrokerID: req.BrokerID, BrokerEpoch: req.BrokerEpoch, NextProducerID: first + producerIDBlock,
	}}, resp, nil
}
