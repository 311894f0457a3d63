package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// register tells the controller of this incarnation and returns when the
// registration is committed and applied here. The controller fences the broker
// until it heartbeats. Refusals that pass (no leader yet, the session of an
// earlier incarnation) are tried again until ctx is done.
func (n *Node) register(ctx context.Context) error {
	req := n.registration()
	for {
		resp := n.controller.RegisterBroker(ctx, req)
		code := protocol.Code(resp.ErrorCode)
		switch code {
		case protocol.None:
			n.epoch = resp.BrokerEpoch
			return nil
		case protocol.NotController, protocol.DuplicateBrokerRegistration, protocol.RequestTimedOut:
		default:
			return fmt.Errorf("register broker %d: %w", n.static.NodeID, code)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("register broker %d: %w (%w)", n.static.NodeID, context.Cause(ctx), code)
		case <-n.quorum.Done():
			return n.quorum.Err()
		case <-time.After(registrationRetry):
		}
	}
}

// registrationRetry is the pause between two attempts to register.
const registrationRetry = 10 * time.Millisecond

func (n *Node) registration() *kmsg.BrokerRegistrationRequest {
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.Version = 4
	req.BrokerID, req.ClusterID, req.IncarnationID = n.static.NodeID, n.clusterID, n.incarnation
	req.Rack = n.static.Rack
	req.PreviousBrokerEpoch = n.previousEpoch
	for _, l := range n.advertised {
		listener := kmsg.NewBrokerRegistrationRequestListener()
		listener.Name, listener.Host, listener.Port = l.Name, l.Host, uint16(l.Port)
		req.Listeners = append(req.Listeners, listener)
	}
	for _, f := range metadata.SupportedFeatures() {
		feature := kmsg.NewBrokerRegistrationRequestFeature()
		feature.Name, feature.MinSupportedVersion, feature.MaxSupportedVersion = f.Name, f.Min, f.Max
		req.Features = append(req.Features, feature)
	}
	for _, dir := range n.storage.Dirs() {
		req.LogDirs = append(req.LogDirs, dir.ID)
	}
	return req
}

// heartbeat tells the controller once that the broker lives, how far its
// metadata is, and whether it wants to go.
func (n *Node) heartbeat(ctx context.Context, wantShutdown bool) (*kmsg.BrokerHeartbeatResponse, error) {
	req := kmsg.NewPtrBrokerHeartbeatRequest()
	req.Version = 1
	req.BrokerID, req.BrokerEpoch = n.static.NodeID, n.epoch
	req.CurrentMetadataOffset = n.controller.Image().Offset
	req.WantShutdown = wantShutdown
	req.OfflineLogDirs = n.offlineDirs()
	resp := n.controller.BrokerHeartbeat(ctx, req)
	if code := protocol.Code(resp.ErrorCode); code != protocol.None {
		return resp, code
	}
	return resp, nil
}

// unfence heartbeats until the controller lets clients see the broker.
func (n *Node) unfence(ctx context.Context) error {
	for {
		resp, err := n.heartbeat(ctx, false)
		if err == nil && !resp.IsFenced {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("broker %d is still fenced: %w", n.static.NodeID, errors.Join(context.Cause(ctx), err))
		case <-n.quorum.Done():
			return n.quorum.Err()
		case <-time.After(registrationRetry):
		}
	}
}

// live heartbeats until ctx is done, and looks whether there is room again for
// what found none. Now and then it tells of log lines that were left out.
func (n *Node) live(ctx context.Context) {
	ticker := time.NewTicker(n.static.Metadata.BrokerHeartbeatInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.dirFailed:
		case <-ticker.C:
			if err := n.replicas.Retry(); err != nil {
				n.env.Log.Debug("some partitions still cannot be served", "error", err) // said aloud when they were named
			}
			n.groups.Retry()
			n.logs.Report(ctx, n.env.Now())
		}
		if _, err := n.heartbeat(ctx, false); err != nil && ctx.Err() == nil {
			n.env.Log.Warn("heartbeat refused", "error", err)
		}
	}
}

// retire asks to go (controlled shutdown) and waits until the controller has
// moved what this broker led. A broker that is alone is let go at once.
func (n *Node) retire(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, retireTimeout)
	defer cancel()
	for {
		resp, err := n.heartbeat(ctx, true)
		if err != nil || resp.ShouldShutdown {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(registrationRetry):
		}
	}
}

// retireTimeout bounds the controlled shutdown; after it the controller finds
// out by itself.
const retireTimeout = 5 * time.Second
