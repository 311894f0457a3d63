package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterPartitionReassignments answers AlterPartitionReassignments, versions 0–1
// (KIP-455): which brokers shall hold a partition. The controller decides.
//
// Alter on the cluster.
func (h *Handler) alterPartitionReassignments(ctx context.Context, _ *Request, req *kmsg.AlterPartitionAssignmentsRequest) (kmsg.Response, error) {
	return h.Controller.AlterPartitionReassignments(ctx, req), nil
}
