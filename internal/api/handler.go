// Package api answers Kafka's requests: one file for each API, named
// NN_schema_name.go after its key and schema, and one Table of them all.
//
// A handler decodes, asks the room that knows (replica, controller, metadata,
// config) and encodes; it decides nothing by itself. What a client is to be
// told stands in the response; an error of a handler closes the connection.
//
// Start reading at Table (table.go), then request.go and reply.go, which are
// the seam to package server; 00_produce.go and 01_fetch.go are the hot path.
package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/group"
	"ottla/internal/metadata"
	"ottla/internal/raft"
	"ottla/internal/replica"
	"ottla/internal/storage"
)

// Handler holds what the handlers of a node need. Its fields do not change
// once the first request is handled.
type Handler struct {
	// ClusterID is the id of the cluster as Kafka writes it.
	ClusterID string
	// Static is the configuration that the node started with; Config the one
	// in force, with what was altered at run time.
	Static *config.Broker
	Config func() *config.Broker
	// Controller decides changes of the metadata and has the committed Image.
	Controller Controller
	// Replicas are the partitions of this broker.
	Replicas *replica.Manager
	// Groups is the group coordinator. It has a method for each API, which fills
	// the response whatever happens; the handler only calls it.
	Groups *group.Coordinator
	// Storage are the log dirs of this broker.
	Storage *storage.Manager
	// Quorum describes the metadata quorum.
	Quorum func() raft.Status
	// ProducerID hands out a producer id that nobody has (T1).
	ProducerID func(context.Context) (int64, error)
	// Sessions are the fetch sessions.
	Sessions *FetchSessions
	// LogLevel is the level of the node's logger, which clients may alter
	// (KIP-412).
	LogLevel *slog.LevelVar
	// Now is the wall clock.
	Now func() time.Time

	produces, fetches sync.Pool // of *produceCall and *fetchCall
}

// Controller is the part of the controller that clients' requests reach. A
// method returns when its decision is committed and applied here, or when ctx
// is done; what went wrong stands in the response.
type Controller interface {
	// Image is the committed metadata.
	Image() *metadata.Image
	// KRaftVersion is the finalized level of kraft.version.
	KRaftVersion() int16
	CreateTopics(context.Context, *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse
	DeleteTopics(context.Context, *kmsg.DeleteTopicsRequest) *kmsg.DeleteTopicsResponse
	CreatePartitions(context.Context, *kmsg.CreatePartitionsRequest) *kmsg.CreatePartitionsResponse
	IncrementalAlterConfigs(context.Context, *kmsg.IncrementalAlterConfigsRequest) *kmsg.IncrementalAlterConfigsResponse
	AlterConfigs(context.Context, *kmsg.AlterConfigsRequest) *kmsg.AlterConfigsResponse
	ElectLeaders(context.Context, *kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse
	AlterPartitionReassignments(context.Context, *kmsg.AlterPartitionAssignmentsRequest) *kmsg.AlterPartitionAssignmentsResponse
	UnregisterBroker(context.Context, *kmsg.UnregisterBrokerRequest) *kmsg.UnregisterBrokerResponse
	UpdateFeatures(context.Context, *kmsg.UpdateFeaturesRequest) *kmsg.UpdateFeaturesResponse
}
