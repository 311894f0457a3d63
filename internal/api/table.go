package api

import (
	"bytes"
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// Endpoint is one API that is served: a row of the Table.
type Endpoint struct {
	Key int16
	// Name is the schema's; the handler's file is named after it.
	Name string
	// Min and Max are the versions that are served.
	Min, Max int16
	// Listeners are those that serve the API.
	Listeners Listeners
	// MaxFrame bounds a request in bytes; 0: socket.request.max.bytes does.
	// What decoding it may allocate on top is protocol.Amplification.
	MaxFrame int32
	// Pipelined lets the next request of this API be handled while replies to
	// former ones wait for their Done.
	Pipelined bool
	Handle    Handle
}

// Handle answers one request. An error closes the connection: what a client is
// to be told stands in the response. It may block its connection until ctx is
// done, which ends with the connection or when the node goes down.
type Handle func(*Handler, context.Context, *Request) (Reply, error)

// Listeners is a set of kinds of listeners.
type Listeners uint8

// The kinds of listeners.
const (
	OnBroker     Listeners = 1 << iota // listeners of clients and of other brokers
	OnController                       // listeners of controllers
)

// Serves tells whether a version of the API is served.
func (e *Endpoint) Serves(version int16) bool { return version >= e.Min && version <= e.Max }

// Describes tells that the API answers with what there is, which may be much, and
// waits for nothing to happen: memory for its answer may be held while it is
// handled.
func (e *Endpoint) Describes() bool {
	switch e.Key {
	case 2, 3, 9, 15, 16, 23, 32, 35, 55, 60, 61, 65, 66, 69, 74, 75:
		return true
	}
	return false
}

// Table lists what is served, by key: one row for each file NN_name.go. Versions
// are those that Apache Kafka 4.3.1 advertises (Produce: see advertise).
//
//	key, name, versions, listeners, frame cap, pipelined, handler
func Table() []Endpoint {
	return []Endpoint{
		{0, "Produce", 3, 13, OnBroker, 0, true, (*Handler).produce},
		{1, "Fetch", 4, 18, OnBroker, smallFrame, false, (*Handler).fetch},
		{2, "ListOffsets", 1, 11, OnBroker, smallFrame, false, unary((*Handler).listOffsets)},
		{3, "Metadata", 0, 13, OnBroker, smallFrame, false, unary((*Handler).metadata)},
		{8, "OffsetCommit", 2, 10, OnBroker, largeFrame, false, unary((*Handler).offsetCommit)},
		{9, "OffsetFetch", 1, 10, OnBroker, smallFrame, false, unary((*Handler).offsetFetch)},
		{10, "FindCoordinator", 0, 6, OnBroker, smallFrame, false, unary((*Handler).findCoordinator)},
		{11, "JoinGroup", 0, 9, OnBroker, largeFrame, false, waiting((*Handler).joinGroup)},
		{12, "Heartbeat", 0, 4, OnBroker, smallFrame, false, unary((*Handler).heartbeat)},
		{13, "LeaveGroup", 0, 5, OnBroker, smallFrame, false, unary((*Handler).leaveGroup)},
		{14, "SyncGroup", 0, 5, OnBroker, largeFrame, false, waiting((*Handler).syncGroup)},
		{15, "DescribeGroups", 0, 6, OnBroker, smallFrame, false, unary((*Handler).describeGroups)},
		{16, "ListGroups", 0, 5, OnBroker, smallFrame, false, unary((*Handler).listGroups)},
		{17, "SaslHandshake", 0, 1, OnBroker | OnController, smallFrame, false, unary((*Handler).saslHandshake)},
		{18, "ApiVersions", 0, 4, OnBroker | OnController, smallFrame, false, (*Handler).apiVersions},
		{19, "CreateTopics", 2, 7, OnBroker | OnController, largeFrame, false, unary((*Handler).createTopics)},
		{20, "DeleteTopics", 1, 6, OnBroker | OnController, smallFrame, false, unary((*Handler).deleteTopics)},
		{21, "DeleteRecords", 0, 2, OnBroker, smallFrame, false, unary((*Handler).deleteRecords)},
		{22, "InitProducerId", 0, 5, OnBroker, smallFrame, false, unary((*Handler).initProducerID)},
		{23, "OffsetForLeaderEpoch", 2, 4, OnBroker, smallFrame, false, unary((*Handler).offsetForLeaderEpoch)},
		{29, "DescribeAcls", 1, 3, OnBroker | OnController, smallFrame, false, unary((*Handler).describeAcls)},
		{30, "CreateAcls", 1, 3, OnBroker | OnController, smallFrame, false, unary((*Handler).createAcls)},
		{31, "DeleteAcls", 1, 3, OnBroker | OnController, smallFrame, false, unary((*Handler).deleteAcls)},
		{32, "DescribeConfigs", 1, 4, OnBroker | OnController, smallFrame, false, unary((*Handler).describeConfigs)},
		{33, "AlterConfigs", 0, 2, OnBroker | OnController, smallFrame, false, unary((*Handler).alterConfigs)},
		{35, "DescribeLogDirs", 1, 5, OnBroker, smallFrame, false, unary((*Handler).describeLogDirs)},
		{36, "SaslAuthenticate", 0, 2, OnBroker | OnController, smallFrame, false, unary((*Handler).saslAuthenticate)},
		{37, "CreatePartitions", 0, 3, OnBroker | OnController, smallFrame, false, unary((*Handler).createPartitions)},
		{38, "CreateDelegationToken", 1, 3, OnBroker | OnController, smallFrame, false, unary((*Handler).createDelegationToken)},
		{39, "RenewDelegationToken", 1, 2, OnBroker | OnController, smallFrame, false, unary((*Handler).renewDelegationToken)},
		{40, "ExpireDelegationToken", 1, 2, OnBroker | OnController, smallFrame, false, unary((*Handler).expireDelegationToken)},
		{41, "DescribeDelegationToken", 1, 3, OnBroker | OnController, smallFrame, false, unary((*Handler).describeDelegationToken)},
		{42, "DeleteGroups", 0, 2, OnBroker, smallFrame, false, unary((*Handler).deleteGroups)},
		{43, "ElectLeaders", 0, 2, OnBroker | OnController, smallFrame, false, unary((*Handler).electLeaders)},
		{44, "IncrementalAlterConfigs", 0, 1, OnBroker | OnController, largeFrame, false, unary((*Handler).incrementalAlterConfigs)},
		{45, "AlterPartitionReassignments", 0, 1, OnBroker | OnController, smallFrame, false, unary((*Handler).alterPartitionReassignments)},
		{46, "ListPartitionReassignments", 0, 0, OnBroker | OnController, smallFrame, false, unary((*Handler).listPartitionReassignments)},
		{47, "OffsetDelete", 0, 0, OnBroker, smallFrame, false, unary((*Handler).offsetDelete)},
		{48, "DescribeClientQuotas", 0, 1, OnBroker, smallFrame, false, unary((*Handler).describeClientQuotas)},
		{50, "DescribeUserScramCredentials", 0, 0, OnBroker | OnController, smallFrame, false, unary((*Handler).describeUserScramCredentials)},
		{55, "DescribeQuorum", 0, 2, OnBroker | OnController, smallFrame, false, unary((*Handler).describeQuorum)},
		{57, "UpdateFeatures", 0, 2, OnBroker | OnController, smallFrame, false, unary((*Handler).updateFeatures)},
		{60, "DescribeCluster", 0, 2, OnBroker | OnController, smallFrame, false, unary((*Handler).describeCluster)},
		{61, "DescribeProducers", 0, 0, OnBroker, smallFrame, false, unary((*Handler).describeProducers)},
		{64, "UnregisterBroker", 0, 0, OnBroker | OnController, smallFrame, false, unary((*Handler).unregisterBroker)},
		{65, "DescribeTransactions", 0, 0, OnBroker, smallFrame, false, unary((*Handler).describeTransactions)},
		{66, "ListTransactions", 0, 2, OnBroker, smallFrame, false, unary((*Handler).listTransactions)},
		{68, "ConsumerGroupHeartbeat", 0, 1, OnBroker, largeFrame, false, unary((*Handler).consumerGroupHeartbeat)},
		{69, "ConsumerGroupDescribe", 0, 1, OnBroker, smallFrame, false, unary((*Handler).consumerGroupDescribe)},
		{74, "ListConfigResources", 0, 1, OnBroker, smallFrame, false, unary((*Handler).listConfigResources)},
		{75, "DescribeTopicPartitions", 0, 0, OnBroker, smallFrame, false, unary((*Handler).describeTopicPartitions)},
	}
}

// find returns the row of an API, nil when it is not served.
func find(key int16) *Endpoint {
	table := Table()
	for i := range table {
		if table[i].Key == key {
			return &table[i]
		}
	}
	return nil
}

// The caps of requests. Produce alone may be as large as
// socket.request.max.bytes.
const (
	smallFrame = 1 << 20
	largeFrame = 8 << 20
)

// unary is the Handle of an API whose request is decoded as a whole and whose
// response is sent as a whole. What decoding took of the memory budget is held
// until the answer is there: so long it may be in use.
func unary[R kmsg.Request](handle func(*Handler, context.Context, *Request, R) (kmsg.Response, error)) Handle {
	return whole(handle, false)
}

// waiting is unary for a handler that may wait for other clients as long as they
// like: no budget is held meanwhile, or a few who wait would stop everybody.
func waiting[R kmsg.Request](handle func(*Handler, context.Context, *Request, R) (kmsg.Response, error)) Handle {
	return whole(handle, true)
}

func whole[R kmsg.Request](handle func(*Handler, context.Context, *Request, R) (kmsg.Response, error), waits bool) Handle {
	return func(h *Handler, ctx context.Context, r *Request) (Reply, error) {
		body, gives := r.Body, waits && r.Consumed != nil
		if gives {
			body = bytes.Clone(body) // what is decoded aliases it
		}
		decoded, err := protocol.Decode(r.Header.Key, r.Header.Version, body)
		if err != nil {
			return Reply{}, err
		}
		if gives {
			r.Consumed()
		}
		request, ok := decoded.(R)
		if !ok {
			return Reply{}, fmt.Errorf("api %d decodes to %T", r.Header.Key, decoded)
		}
		response, err := handle(h, ctx, r, request)
		if err != nil {
			return Reply{}, err
		}
		return respond(r, response), nil
	}
}
