package controller

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
)

// RegisterController notes an incarnation of a controller (KIP-919): where it
// is reached, and which features it serves.
func (c *Controller) RegisterController(ctx context.Context, req *kmsg.ControllerRegistrationRequest) *kmsg.ControllerRegistrationResponse {
	resp, err := submit(ctx, c, func(*view) (outcome[*kmsg.ControllerRegistrationResponse], error) {
		return outcome[*kmsg.ControllerRegistrationResponse]{
			records: []metadata.Message{controllerRecord(req)},
			reply:   req.ResponseKind().(*kmsg.ControllerRegistrationResponse),
		}, nil
	})
	if err != nil {
		resp = req.ResponseKind().(*kmsg.ControllerRegistrationResponse)
		resp.ErrorCode, resp.ErrorMessage = code(err), text(err)
	}
	return resp
}

func controllerRecord(req *kmsg.ControllerRegistrationRequest) *metadata.RegisterControllerRecord {
	m := &metadata.RegisterControllerRecord{ControllerID: req.ControllerID, IncarnationID: req.IncarnationID}
	for _, l := range req.Listeners {
		m.EndPoints = append(m.EndPoints, metadata.ControllerEndpoint{Name: l.Name, Host: l.Host, Port: l.Port, SecurityProtocol: l.SecurityProtocol})
	}
	for _, f := range req.Features {
		m.Features = append(m.Features, metadata.ControllerFeature{Name: f.Name, MinSupportedVersion: f.MinSupportedVersion, MaxSupportedVersion: f.MaxSupportedVersion})
	}
	return m
}
