package controller

import (
	"context"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// BrokerHeartbeat keeps a broker's session alive and moves the broker between
// fenced, unfenced and shutting down.
func (c *Controller) BrokerHeartbeat(ctx context.Context, req *kmsg.BrokerHeartbeatRequest) *kmsg.BrokerHeartbeatResponse {
	// First of all, whatever the queue: a controller that is behind must not
	// fence brokers for that.
	if err := c.touch(req); err != nil {
		return failedHeartbeat(req, err)
	}
	resp, err := submit(ctx, c, func(v *view) (outcome[*kmsg.BrokerHeartbeatResponse], error) {
		records, resp, err := heartbeat(v, req, c.pulse(req.BrokerID))
		return outcome[*kmsg.BrokerHeartbeatResponse]{records: records, reply: resp, proposed: func(last int64) {
			c.heartbeatProposed(req, resp, last)
		}}, err
	})
	if err != nil {
		return failedHeartbeat(req, err)
	}
	return resp
}

func failedHeartbeat(req *kmsg.BrokerHeartbeatRequest, err error) *kmsg.BrokerHeartbeatResponse {
	resp := req.ResponseKind().(*kmsg.BrokerHeartbeatResponse)
	resp.ErrorCode, resp.IsFenced = code(err), true
	return resp
}

// pulse is what the controller remembers of a broker beside the metadata.
type pulse struct {
	// registered is the offset of the broker's registration.
	registered int64
	// shutdown is the offset at which the broker had given up its leaderships,
	// -1 before.
	shutdown int64
	// lowestActive is the lowest offset that any active broker has applied.
	lowestActive int64
}

// brokerState is where a broker is in its life.
type brokerState int

const (
	fenced brokerState = iota
	unfenced
	controlledShutdown
	shutdownNow
)

// heartbeat decides what a heartbeat changes.
func heartbeat(v *view, req *kmsg.BrokerHeartbeatRequest, p pulse) ([]metadata.Message, *kmsg.BrokerHeartbeatResponse, error) {
	if err := v.checkBrokerEpoch(req.BrokerID, req.BrokerEpoch); err != nil {
		return nil, nil, err
	}
	b := v.img.Broker(req.BrokerID)
	state := nextState(v, b, req, p)
	records, err := stateRecords(v, b, state)
	if err != nil {
		return nil, nil, err
	}
	if len(records) > 0 {
		if v, err = v.after(records); err != nil {
			return nil, nil, err
		}
	}
	more := directoriesOffline(v, b.ID, req.OfflineLogDirs)
	records = append(records, more...)
	if req.CordonedLogDirs != nil && !sameIDs(b.CordonedLogDirs, req.CordonedLogDirs) {
		records = append(records, &metadata.BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch, CordonedLogDirs: req.CordonedLogDirs})
	}
	resp := req.ResponseKind().(*kmsg.BrokerHeartbeatResponse)
	resp.IsCaughtUp = req.CurrentMetadataOffset >= p.registered
	resp.IsFenced = state == fenced || state == shutdownNow
	resp.ShouldShutdown = state == shutdownNow
	return records, resp, nil
}

// nextState is Kafka's BrokerHeartbeatManager.calculateNextBrokerState:
//
//	fenced               it wants to stop: it may
//	                     it has applied its registration: the fence opens
//	unfenced             it wants to be fenced, and is
//	                     it wants to stop: it gives up its leaderships first, if any
//	controlled shutdown  it leads nothing, and every active broker knows: it may stop
func nextState(v *view, b *metadata.Broker, req *kmsg.BrokerHeartbeatRequest, p pulse) brokerState {
	switch {
	case !b.Fenced && b.InControlledShutdown:
		if leads(v, b.ID) || p.shutdown > p.lowestActive {
			return controlledShutdown
		}
		return shutdownNow
	case b.Fenced && req.WantShutdown:
		return shutdownNow
	case b.Fenced && !req.WantFence && req.CurrentMetadataOffset >= p.registered:
		return unfenced
	case b.Fenced:
		return fenced
	case req.WantFence && req.WantShutdown:
		return shutdownNow
	case req.WantFence:
		return fenced
	case req.WantShutdown && leads(v, b.ID):
		return controlledShutdown
	case req.WantShutdown:
		return shutdownNow
	}
	return unfenced
}

// stateRecords brings a broker into a state: its registration and the
// partitions that gain or lose a leader by it.
func stateRecords(v *view, b *metadata.Broker, to brokerState) ([]metadata.Message, error) {
	change := &metadata.BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch}
	switch {
	case (to == fenced || to == shutdownNow) && !b.Fenced:
		change.Fenced = 1
		return append(leaderChanges(v, b.ID, metadata.NoLeader, inISR(b.ID)), change), nil
	case to == unfenced && b.Fenced:
		change.Fenced = -1
		v, err := v.after([]metadata.Message{change})
		if err != nil {
			return nil, err
		}
		return append([]metadata.Message{change}, leaderChanges(v, metadata.NoLeader, metadata.NoLeader, leaderless)...), nil
	case to == controlledShutdown:
		records := leaderChanges(v, b.ID, metadata.NoLeader, inISR(b.ID))
		if b.InControlledShutdown {
			return records, nil
		}
		change.InControlledShutdown = 1
		return append([]metadata.Message{change}, records...), nil
	}
	return nil, nil
}

// fence decides the end of a broker's session.
func fence(v *view, broker int32, epoch int64) []metadata.Message {
	b := v.img.Broker(broker)
	if b == nil || b.Epoch != epoch || b.Fenced {
		return nil
	}
	records, _ := stateRecords(v, b, fenced)
	return records
}

// directoriesOffline takes the log dirs that failed out of a broker's
// registration, and leadership and ISR from its replicas there.
func directoriesOffline(v *view, broker int32, offline []metadata.UUID) []metadata.Message {
	b := v.img.Broker(broker)
	gone := func(id metadata.UUID) bool { return slices.Contains(offline, id) }
	if !slices.ContainsFunc(b.LogDirs, gone) {
		return nil
	}
	records := leaderChanges(v, broker, metadata.NoLeader, func(p *metadata.Partition) bool {
		dir, ok := p.Directory(broker)
		return ok && gone(dir) && b.HasLogDir(dir)
	})
	return append(records, &metadata.BrokerRegistrationChangeRecord{
		BrokerID: b.ID, BrokerEpoch: b.Epoch, LogDirs: slices.DeleteFunc(slices.Clone(b.LogDirs), gone),
	})
}

func leaderless(p *metadata.Partition) bool { return p.Leader == metadata.NoLeader }

func leads(v *view, broker int32) bool {
	for t := range v.img.Topics() {
		for p := range t.Partitions() {
			if p.Leader == broker {
				return true
			}
		}
	}
	return false
}

func sameIDs(a, b []metadata.UUID) bool {
	if a == nil || len(a) != len(b) {
		return false
	}
	return !slices.ContainsFunc(b, func(id metadata.UUID) bool { return !slices.Contains(a, id) })
}

// noActiveBroker is the lowest offset applied among no brokers.
const noActiveBroker = math.MaxInt64

// errNoSession refuses the heartbeat of a broker that is not registered.
func errNoSession(broker int32) error {
	return protocol.Errorf(protocol.StaleBrokerEpoch, "Receive a heartbeat from broker %d before registration", broker)
}
