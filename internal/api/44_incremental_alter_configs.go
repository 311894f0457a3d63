package api

import (
	"context"
	"log/slog"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// incrementalAlterConfigs answers IncrementalAlterConfigs, versions 0–1
// (KIP-339). The level of the broker's logger is set here (KIP-412): it lasts
// until the node stops; all else is the controller's.
//
// AlterConfigs on the topic, the group, or the cluster.
func (h *Handler) incrementalAlterConfigs(ctx context.Context, _ *Request, req *kmsg.IncrementalAlterConfigsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	resp.Resources = make([]kmsg.IncrementalAlterConfigsResponseResource, len(req.Resources))
	forward := *req
	forward.Resources = nil
	var places []int // in the response, of what is forwarded
	for i := range req.Resources {
		resource := &req.Resources[i]
		if int8(resource.ResourceType) != metadata.ResourceBrokerLogger {
			forward.Resources = append(forward.Resources, *resource)
			places = append(places, i)
			continue
		}
		result := kmsg.NewIncrementalAlterConfigsResponseResource()
		result.ResourceType, result.ResourceName = resource.ResourceType, resource.ResourceName
		if err := h.alterLogger(resource, req.ValidateOnly); err != nil {
			result.ErrorCode, result.ErrorMessage = int16(code(err)), message(err)
		}
		resp.Resources[i] = result
	}
	if len(forward.Resources) > 0 {
		for i, decided := range h.Controller.IncrementalAlterConfigs(ctx, &forward).Resources {
			resp.Resources[places[i]] = decided
		}
	}
	return resp, nil
}

// The operations of IncrementalAlterConfigs.
const (
	opSet    = kmsg.IncrementalAlterConfigOpSet
	opDelete = kmsg.IncrementalAlterConfigOpDelete
)

// rootLogger is the one logger that Ottla has, under Kafka's name for it.
const rootLogger = "root"

// alterLogger sets the level of the broker's logger, when all of the request
// is right.
func (h *Handler) alterLogger(resource *kmsg.IncrementalAlterConfigsRequestResource, validateOnly bool) error {
	id, err := strconv.ParseInt(resource.ResourceName, 10, 32)
	if err != nil {
		return protocol.Errorf(protocol.InvalidRequest, "Node id must be an integer, but it is: %s", resource.ResourceName)
	}
	if int32(id) != h.Static.NodeID {
		return protocol.Errorf(protocol.InvalidRequest, "Unexpected node id. Expected %d, but received %d", h.Static.NodeID, id)
	}
	level := h.LogLevel.Level()
	for _, c := range resource.Configs {
		if level, err = h.loggerLevel(c.Name, c.Op, c.Value); err != nil {
			return err
		}
	}
	if !validateOnly {
		h.LogLevel.Set(level)
	}
	return nil
}

// loggerLevel is the level that an operation gives to the logger.
func (h *Handler) loggerLevel(name string, op kmsg.IncrementalAlterConfigOp, value *string) (slog.Level, error) {
	switch {
	case name != rootLogger:
		return 0, protocol.Errorf(protocol.InvalidConfig, "Logger %s does not exist!", name)
	case op == opDelete:
		return h.Static.LogLevel, nil
	case op != opSet:
		return 0, protocol.Errorf(protocol.InvalidRequest, "%s operation is not allowed for the BROKER_LOGGER resource", op)
	}
	level, ok := parseLevel(value)
	if !ok {
		return 0, protocol.Errorf(protocol.InvalidConfig, "Cannot set the log level of %s to %s as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN", name, deref(value))
	}
	return level, nil
}

// parseLevel reads a level of Kafka's loggers; FATAL has no equal and is an
// error's.
func parseLevel(name *string) (slog.Level, bool) {
	switch strings.ToUpper(deref(name)) {
	case "TRACE", "DEBUG":
		return slog.LevelDebug, true
	case "INFO":
		return slog.LevelInfo, true
	case "WARN":
		return slog.LevelWarn, true
	case "ERROR", "FATAL":
		return slog.LevelError, true
	}
	return 0, false
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
