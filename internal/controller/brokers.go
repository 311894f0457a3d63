package controller

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// RegisterBroker registers an incarnation of a broker. It stays fenced until a
// heartbeat says that it has applied its own registration (M12).
func (c *Controller) RegisterBroker(ctx context.Context, req *kmsg.BrokerRegistrationRequest) *kmsg.BrokerRegistrationResponse {
	resp, err := submit(ctx, c, func(v *view) (outcome[*kmsg.BrokerRegistrationResponse], error) {
		records, resp, err := registerBroker(v, req, c.connected(req.BrokerID))
		return outcome[*kmsg.BrokerRegistrationResponse]{records: records, reply: resp, proposed: func(last int64) {
			c.registered(req.BrokerID, resp.BrokerEpoch, last)
		}}, err
	})
	if err != nil {
		resp = req.ResponseKind().(*kmsg.BrokerRegistrationResponse)
		resp.ErrorCode, resp.BrokerEpoch = code(err), -1
	}
	return resp
}

// registerBroker decides a registration. connected tells that the incarnation
// that is registered now lives: its session has not ended, nor its connection.
//
// A new incarnation leads nothing: what the old one led or was in sync for is
// taken from it first, so that it never leads in a leader epoch that it did not
// receive itself. These records come before the registration and may fill
// several batches; a controller that fails in between leaves a broker that will
// register again.
//
// Kafka refuses a new incarnation for as long as the old session may last (9
// s). Here one that has a log dir of the old one replaces it as soon as the old
// connection is closed: a log dir is locked by one process at a time.
func registerBroker(v *view, req *kmsg.BrokerRegistrationRequest, connected bool) ([]metadata.Message, *kmsg.BrokerRegistrationResponse, error) {
	old := v.img.Broker(req.BrokerID)
	amend := old != nil && old.IncarnationID == req.IncarnationID
	if err := checkRegistration(v, req); err != nil {
		return nil, nil, err
	}
	if old != nil && !amend && connected {
		return nil, nil, protocol.Errorf(protocol.DuplicateBrokerRegistration, "Another broker is registered with that broker id.")
	}
	// A registration at a metadata.version below 3.7-IV2 names no log dirs.
	if old != nil && !amend && !old.Fenced && len(old.LogDirs) > 0 && !shareLogDir(old, req.LogDirs) {
		return nil, nil, protocol.Errorf(protocol.DuplicateBrokerRegistration, "Another broker with other log dirs is registered with that broker id, and not fenced.")
	}
	m := metadata.NewRegisterBrokerRecord()
	m.BrokerID, m.IncarnationID, m.Rack, m.LogDirs = req.BrokerID, req.IncarnationID, req.Rack, req.LogDirs
	for _, l := range req.Listeners {
		m.EndPoints = append(m.EndPoints, metadata.BrokerEndpoint{Name: l.Name, Host: l.Host, Port: l.Port, SecurityProtocol: l.SecurityProtocol})
	}
	for _, f := range req.Features {
		m.Features = append(m.Features, metadata.BrokerFeature{Name: f.Name, MinSupportedVersion: f.MinSupportedVersion, MaxSupportedVersion: f.MaxSupportedVersion})
	}
	var records []metadata.Message
	if amend {
		m.Fenced, m.InControlledShutdown, m.BrokerEpoch = old.Fenced, old.InControlledShutdown, old.Epoch
	} else {
		records = shutDown(v, req.BrokerID, cleanShutdown(v, old, req))
		m.BrokerEpoch = v.nextOffset() + int64(len(records))
	}
	resp := req.ResponseKind().(*kmsg.BrokerRegistrationResponse)
	resp.BrokerEpoch = m.BrokerEpoch
	return append(records, m), resp, nil
}

func checkRegistration(v *view, req *kmsg.BrokerRegistrationRequest) error {
	if req.ClusterID != v.clusterID {
		return protocol.Errorf(protocol.InconsistentClusterID, "Expected cluster ID %s, but got cluster ID %s", v.clusterID, req.ClusterID)
	}
	if req.IsMigratingZkBroker {
		return protocol.Errorf(protocol.BrokerIDNotRegistered, "Controller does not support registering ZK brokers.")
	}
	if len(req.LogDirs) == 0 {
		return protocol.Errorf(protocol.InvalidRegistration, "No directories specified in request")
	}
	for i, dir := range req.LogDirs {
		if reserved(dir) {
			return protocol.Errorf(protocol.InvalidRegistration, "Reserved directory ID in request")
		}
		if slices.Contains(req.LogDirs[:i], dir) {
			return protocol.Errorf(protocol.InvalidRegistration, "Duplicate directory ID in request")
		}
	}
	for b := range v.img.Brokers() {
		if b.ID == req.BrokerID {
			continue
		}
		for _, dir := range req.LogDirs {
			if b.HasLogDir(dir) {
				return protocol.Errorf(protocol.InvalidRegistration, "Broker %d is already registered with directory %s", b.ID, metadata.FormatUUID(dir))
			}
		}
	}
	return checkRegistrationFeatures(v, req)
}

// checkRegistrationFeatures refuses a broker that does not serve every feature
// at its finalized level; one that it does not name it serves at level 0.
func checkRegistrationFeatures(v *view, req *kmsg.BrokerRegistrationRequest) error {
	finalized := map[string]int16{metadata.FeatureKRaftVersion: v.kraftVersion}
	for name, level := range v.img.Features() {
		finalized[name] = level
	}
	named := map[string]bool{}
	for _, f := range req.Features {
		named[f.Name] = true
		if err := servesLevel(f.Name, finalized[f.Name], f.MinSupportedVersion, f.MaxSupportedVersion); err != nil {
			return err
		}
	}
	if !named[metadata.FeatureMetadataVersion] {
		return protocol.Errorf(protocol.InvalidRegistration, "Request features do not contain '%s'", metadata.FeatureMetadataVersion)
	}
	for _, f := range metadata.SupportedFeatures() {
		if level := finalized[f.Name]; !named[f.Name] && level != 0 {
			return servesLevel(f.Name, level, 0, 0)
		}
	}
	return nil
}

func servesLevel(name string, level, lowest, highest int16) error {
	if lowest <= level && level <= highest {
		return nil
	}
	return protocol.Errorf(protocol.UnsupportedVersion,
		"Unable to register because the broker does not support finalized version %d of %s. The broker wants a version between %d and %d, inclusive.",
		level, name, lowest, highest)
}

func shareLogDir(b *metadata.Broker, dirs []metadata.UUID) bool {
	return slices.ContainsFunc(dirs, b.HasLogDir)
}

// cleanShutdown tells whether the new incarnation has all that the old one had
// written: it says so itself (KIP-966), or the cluster is durable and it comes
// with all of its log dirs, in which case what counted was on disk (R11 is for
// page-cache brokers).
func cleanShutdown(v *view, old *metadata.Broker, req *kmsg.BrokerRegistrationRequest) bool {
	if old == nil {
		return false
	}
	if req.Version >= 3 && req.PreviousBrokerEpoch == old.Epoch {
		return true
	}
	lost := slices.ContainsFunc(old.LogDirs, func(id metadata.UUID) bool { return !slices.Contains(req.LogDirs, id) })
	return v.cfg.Ottla.Durability == config.Fsync && !lost
}

// shutDown takes leadership and ISR from a broker whose process ended.
func shutDown(v *view, broker int32, clean bool) []metadata.Message {
	if !clean && v.elrEnabled() {
		return leaderChanges(v, metadata.NoLeader, broker, func(p *metadata.Partition) bool {
			return slices.Contains(p.ISR, broker) || slices.Contains(p.ELR, broker)
		})
	}
	return leaderChanges(v, broker, metadata.NoLeader, inISR(broker))
}

func inISR(broker int32) func(*metadata.Partition) bool {
	return func(p *metadata.Partition) bool { return slices.Contains(p.ISR, broker) }
}

// UnregisterBroker forgets a broker: its partitions lose it from ISR and ELR,
// but stay assigned to it.
func (c *Controller) UnregisterBroker(ctx context.Context, req *kmsg.UnregisterBrokerRequest) *kmsg.UnregisterBrokerResponse {
	resp, err := submit(ctx, c, func(v *view) (outcome[*kmsg.UnregisterBrokerResponse], error) {
		records, err := unregisterBroker(v, req.BrokerID)
		return outcome[*kmsg.UnregisterBrokerResponse]{
			records: records, reply: req.ResponseKind().(*kmsg.UnregisterBrokerResponse),
			proposed: func(int64) { c.endSession(req.BrokerID) },
		}, err
	})
	if err != nil {
		resp = req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
		resp.ErrorCode, resp.ErrorMessage = code(err), text(err)
	}
	return resp
}

func unregisterBroker(v *view, broker int32) ([]metadata.Message, error) {
	b := v.img.Broker(broker)
	if b == nil {
		return nil, protocol.Errorf(protocol.BrokerIDNotRegistered, "Broker ID %d is not currently registered", broker)
	}
	records := leaderChanges(v, broker, metadata.NoLeader, inISR(broker))
	v, err := v.after(records)
	if err != nil {
		return nil, err
	}
	records = append(records, leaderChanges(v, metadata.NoLeader, broker, func(p *metadata.Partition) bool { return slices.Contains(p.ELR, broker) })...)
	return append(records, &metadata.UnregisterBrokerRecord{BrokerID: broker, BrokerEpoch: b.Epoch}), nil
}
