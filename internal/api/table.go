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
	Service
}

// Service is how an API is handled.
type Service struct {
	Kind   Kind
	Handle Handle
}

// Kind is what a request of an API may cost others. It decides what package
// server does before and after the handler.
type Kind uint8

// The kinds of APIs.
const (
	// Plain is an API whose handler sees the request as it came. What a request
	// names twice is the handler's to refuse or to do twice, as Kafka does.
	Plain Kind = iota
	// Describes is an API that answers with what there is, which may be much, and
	// waits for nothing to happen. What a request names twice is looked up and
	// answered once (protocol.Distinct). Memory for its answer may be held while
	// it is handled.
	Describes
	// Waits is an API whose handler waits for other clients, as long as they
	// like. What it decoded does not alias Request.Body, so that it can give the
	// memory of the request back (Request.park).
	Waits
	// Pipelined is an API whose next request is handled while replies to former
	// ones wait for their Done.
	Pipelined
)

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

// Table lists what is served, by key: one row for each file NN_name.go. Versions
// are those that Apache Kafka 4.3.1 advertises (Produce: see advertise).
//
//	key, name, versions, listeners, frame cap, kind and handler
func Table() []Endpoint {
	return []Endpoint{
		{0, "Produce", 3, 13, OnBroker, 0, Service{Pipelined, (*Handler).produce}},
		{1, "Fetch", 4, 18, OnBroker, listFrame, Service{Plain, (*Handler).fetch}},
		{2, "ListOffsets", 1, 11, OnBroker, listFrame, plain((*Handler).listOffsets)},
		{3, "Metadata", 0, 13, OnBroker, listFrame, describes((*Handler).metadata)},
		{8, "OffsetCommit", 2, 10, OnBroker, largeFrame, plain((*Handler).offsetCommit)},
		{9, "OffsetFetch", 1, 10, OnBroker, listFrame, describes((*Handler).offsetFetch)},
		{10, "FindCoordinator", 0, 6, OnBroker, listFrame, plain((*Handler).findCoordinator)},
		{11, "JoinGroup", 0, 9, OnBroker, largeFrame, waits((*Handler).joinGroup)},
		{12, "Heartbeat", 0, 4, OnBroker, smallFrame, plain((*Handler).heartbeat)},
		{13, "LeaveGroup", 0, 5, OnBroker, smallFrame, plain((*Handler).leaveGroup)},
		{14, "SyncGroup", 0, 5, OnBroker, largeFrame, waits((*Handler).syncGroup)},
		{15, "DescribeGroups", 0, 6, OnBroker, smallFrame, describes((*Handler).describeGroups)},
		{16, "ListGroups", 0, 5, OnBroker, smallFrame, describes((*Handler).listGroups)},
		{17, "SaslHandshake", 0, 1, OnBroker | OnController, smallFrame, plain((*Handler).saslHandshake)},
		{18, "ApiVersions", 0, 4, OnBroker | OnController, smallFrame, Service{Plain, (*Handler).apiVersions}},
		{19, "CreateTopics", 2, 7, OnBroker | OnController, largeFrame, plain((*Handler).createTopics)},
		{20, "DeleteTopics", 1, 6, OnBroker | OnController, listFrame, plain((*Handler).deleteTopics)},
		{21, "DeleteRecords", 0, 2, OnBroker, listFrame, plain((*Handler).deleteRecords)},
		{22, "InitProducerId", 0, 5, OnBroker, smallFrame, plain((*Handler).initProducerID)},
		{23, "OffsetForLeaderEpoch", 2, 4, OnBroker, listFrame, describes((*Handler).offsetForLeaderEpoch)},
		{29, "DescribeAcls", 1, 3, OnBroker | OnController, smallFrame, plain((*Handler).describeAcls)},
		{30, "CreateAcls", 1, 3, OnBroker | OnController, smallFrame, plain((*Handler).createAcls)},
		{31, "DeleteAcls", 1, 3, OnBroker | OnController, smallFrame, plain((*Handler).deleteAcls)},
		{32, "DescribeConfigs", 1, 4, OnBroker | OnController, listFrame, describes((*Handler).describeConfigs)},
		{33, "AlterConfigs", 0, 2, OnBroker | OnController, listFrame, plain((*Handler).alterConfigs)},
		{35, "DescribeLogDirs", 1, 5, OnBroker, listFrame, describes((*Handler).describeLogDirs)},
		{36, "SaslAuthenticate", 0, 2, OnBroker | OnController, smallFrame, plain((*Handler).saslAuthenticate)},
		{37, "CreatePartitions", 0, 3, OnBroker | OnController, listFrame, plain((*Handler).createPartitions)},
		{38, "CreateDelegationToken", 1, 3, OnBroker | OnController, smallFrame, plain((*Handler).createDelegationToken)},
		{39, "RenewDelegationToken", 1, 2, OnBroker | OnController, smallFrame, plain((*Handler).renewDelegationToken)},
		{40, "ExpireDelegationToken", 1, 2, OnBroker | OnController, smallFrame, plain((*Handler).expireDelegationToken)},
		{41, "DescribeDelegationToken", 1, 3, OnBroker | OnController, smallFrame, plain((*Handler).describeDelegationToken)},
		{42, "DeleteGroups", 0, 2, OnBroker, listFrame, plain((*Handler).deleteGroups)},
		{43, "ElectLeaders", 0, 2, OnBroker | OnController, listFrame, plain((*Handler).electLeaders)},
		{44, "IncrementalAlterConfigs", 0, 1, OnBroker | OnController, largeFrame, plain((*Handler).incrementalAlterConfigs)},
		{45, "AlterPartitionReassignments", 0, 1, OnBroker | OnController, listFrame, plain((*Handler).alterPartitionReassignments)},
		{46, "ListPartitionReassignments", 0, 0, OnBroker | OnController, listFrame, describes((*Handler).listPartitionReassignments)},
		{47, "OffsetDelete", 0, 0, OnBroker, listFrame, plain((*Handler).offsetDelete)},
		{48, "DescribeClientQuotas", 0, 1, OnBroker, smallFrame, plain((*Handler).describeClientQuotas)},
		{50, "DescribeUserScramCredentials", 0, 0, OnBroker | OnController, smallFrame, plain((*Handler).describeUserScramCredentials)},
		{55, "DescribeQuorum", 0, 2, OnBroker | OnController, smallFrame, plain((*Handler).describeQuorum)},
		{57, "UpdateFeatures", 0, 2, OnBroker | OnController, smallFrame, plain((*Handler).updateFeatures)},
		{60, "DescribeCluster", 0, 2, OnBroker | OnController, smallFrame, describes((*Handler).describeCluster)},
		{61, "DescribeProducers", 0, 0, OnBroker, smallFrame, describes((*Handler).describeProducers)},
		{64, "UnregisterBroker", 0, 0, OnBroker | OnController, smallFrame, plain((*Handler).unregisterBroker)},
		{65, "DescribeTransactions", 0, 0, OnBroker, smallFrame, describes((*Handler).describeTransactions)},
		{66, "ListTransactions", 0, 2, OnBroker, smallFrame, describes((*Handler).listTransactions)},
		{68, "ConsumerGroupHeartbeat", 0, 1, OnBroker, largeFrame, plain((*Handler).consumerGroupHeartbeat)},
		{69, "ConsumerGroupDescribe", 0, 1, OnBroker, smallFrame, describes((*Handler).consumerGroupDescribe)},
		{74, "ListConfigResources", 0, 1, OnBroker, smallFrame, describes((*Handler).listConfigResources)},
		{75, "DescribeTopicPartitions", 0, 0, OnBroker, listFrame, describes((*Handler).describeTopicPartitions)},
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
	// listFrame is for what names topics, partitions or groups, of which a client
	// may have many: 15,000 of the longest names.
	listFrame = 4 << 20
	// largeFrame is for what brings along text besides.
	largeFrame = 8 << 20
)

// plain, describes and waits are the services of APIs whose request is decoded
// as a whole and whose response is sent as a whole.
func plain[R kmsg.Request](handle answer[R]) Service { return Service{Plain, whole(Plain, handle)} }

func describes[R kmsg.Request](handle answer[R]) Service {
	return Service{Describes, whole(Describes, handle)}
}

func waits[R kmsg.Request](handle answer[R]) Service { return Service{Waits, whole(Waits, handle)} }

// answer is a handler of decoded messages. It charges what it looks up, and what
// it builds beyond the names, ids and codes of the request, to Request.Meter. (Those
// are covered by what decoding was charged.) It may stop once that fails: the
// request then fails with the meter's error, and its connection closes.
type answer[R kmsg.Request] func(*Handler, context.Context, *Request, R) (kmsg.Response, error)

// whole is the Handle of an answer. What decoding took of the memory budget is
// held until the answer is there, or until the handler parks the request.
func whole[R kmsg.Request](kind Kind, handle answer[R]) Handle {
	return func(h *Handler, ctx context.Context, r *Request) (Reply, error) {
		body := r.Body
		if kind == Waits && r.Consumed != nil {
			body = bytes.Clone(body)
		}
		decoded, err := protocol.Decode(r.Header.Key, r.Header.Version, body)
		if err != nil {
			return Reply{}, err
		}
		if kind == Describes {
			protocol.Distinct(decoded)
		}
		request, ok := decoded.(R)
		if !ok {
			return Reply{}, fmt.Errorf("api %d decodes to %T", r.Header.Key, decoded)
		}
		response, err := handle(h, ctx, r, request)
		if err == nil {
			err = r.Meter.Err()
		}
		if err != nil {
			return Reply{}, err
		}
		return respond(r, response), nil
	}
}
