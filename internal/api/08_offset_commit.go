package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/group"
)

// client is who sent a request, as the group coordinator knows it.
func client(r *Request) group.Client {
	return group.Client{ID: r.Header.ClientID, Host: r.Session.ClientHost()}
}

// offsetCommit answers OffsetCommit, versions 2–10: the group coordinator does.
//
// Read on the group and on the topics.
func (h *Handler) offsetCommit(ctx context.Context, r *Request, req *kmsg.OffsetCommitRequest) (kmsg.Response, error) {
	return h.Groups.OffsetCommit(ctx, client(r), req), nil
}
