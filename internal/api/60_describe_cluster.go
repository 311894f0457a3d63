package api

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// The endpoint types of DescribeCluster (KIP-919).
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

// describeCluster answers DescribeCluster, versions 0–2: the brokers (v2:
// fenced ones too if asked). Controllers are asked on their own listener;
// here that is UNSUPPORTED_ENDPOINT_TYPE or, for an id that does not match
// the listener, MISMATCHED_ENDPOINT_TYPE, as Kafka's brokers answer.
//
// Describe on the cluster.
func (h *Handler) describeCluster(_ context.Context, r *Request, req *kmsg.DescribeClusterRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.ClusterAuthorizedOperations = noOperations
	resp.ControllerID = -1
	if r.Header.Version >= 1 && req.EndpointType != endpointBrokers {
		return failDescribeCluster(resp, req.EndpointType), nil
	}
	resp.EndpointType = endpointBrokers
	view := clusterView{img: h.Controller.Image(), listener: r.Listener}
	resp.ClusterID = h.ClusterID
	resp.ControllerID = view.anyBroker()
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	for b := range view.img.Brokers() {
		endpoint, ok := b.Listener(r.Listener)
		if !ok || b.Fenced && !req.IncludeFencedBrokers {
			continue
		}
		broker := kmsg.NewDescribeClusterResponseBroker()
		broker.NodeID, broker.Rack, broker.IsFenced = b.ID, b.Rack, b.Fenced
		broker.Host, broker.Port = endpoint.Host, int32(endpoint.Port)
		resp.Brokers = append(resp.Brokers, broker)
	}
	return resp, nil
}

func failDescribeCluster(resp *kmsg.DescribeClusterResponse, endpointType int8) kmsg.Response {
	err, message := protocol.UnsupportedEndpointType, "Unsupported endpoint type "+strconv.Itoa(int(endpointType))
	if endpointType == endpointControllers {
		err, message = protocol.MismatchedEndpointType, "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
	}
	resp.ErrorCode, resp.ErrorMessage = int16(err), &message
	resp.EndpointType = endpointBrokers
	return resp
}
