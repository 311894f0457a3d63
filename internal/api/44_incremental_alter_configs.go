package api

import (
	"context"
	"log/slog"
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
	forward := *req
	forward.Resources = nil
	for _, resource := range req.Resources {
		if int8(resource.ResourceType) != metadata.ResourceBrokerLogger {
			forward.Resources = append(forward.Resources, resource)
			continue
		}
		result := kmsg.NewIncrementalAlterConfigsResponseResource()
		result.ResourceType, result.ResourceName = resource.ResourceType, resource.ResourceName
		if err := h.alterLogger(&resource, req.ValidateOnly); err != nil {
			result.ErrorCode, result.ErrorMessage = int16(code(err)), message(err)
		}
		resp.Resources = append(resp.Resources, result)
	}
	if len(forward.Resources) > 0 {
		decided := h.Controller.IncrementalAlterConfigs(ctx, &forward)
		resp.Resources = append(decided.Resources, resp.Resources...)
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

// alterLogger sets the level of the broker's logger.
func (h *Handler) alterLogger(resource *kmsg.IncrementalAlterConfigsRequestResource, validateOnly bool) error {
	if resource.ResourceName == "" {
		return protocol.Errorf(protocol.InvalidRequest, "Node id must be an integer, but it is: ")
	}
	if err := h.thisBroker(resource.ResourceName, ","); err != nil {
		return err
	}
	for _, c := range resource.Configs {
		if c.Name != rootLogger {
			return protocol.Errorf(protocol.InvalidConfig, "Logger %s does not exist!", c.Name)
		}
		level := h.Static.LogLevel
		switch c.Op {
		case opSet:
			var ok bool
			if level, ok = parseLevel(c.Value); !ok {
				return protocol.Errorf(protocol.InvalidConfig, "Cannot set the log level of %s to %s as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN", c.Name, deref(c.Value))
			}
		case opDelete:
		default:
			return protocol.Errorf(protocol.InvalidRequest, "%s operation is not allowed for the BROKER_LOGGER resource", c.Op)
		}
		if !validateOnly {
			h.LogLevel.Set(level)
		}
	}
	return nil
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
