package controller

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// session is what the active controller remembers of a broker and does not
// write down: a new controller begins with sessions that have just begun.
// Sessions are guarded by Controller.mu.
type session struct {
	epoch int64
	// timer fences the broker when no heartbeat came for
	// broker.session.timeout.ms; nil until the first one. heard counts how often
	// it began, so that one that was over too late to be stopped is known.
	timer *time.Timer
	heard uint64
	// ends is when the session is over (Options.Elapsed).
	ends time.Duration
	// connected tells that the broker talked to this controller and that its
	// connection has not been closed since.
	connected bool
	// registered, shutdown and offset are fields of pulse; offset is what the
	// broker has applied, as of its last heartbeat.
	registered, shutdown, offset int64
}

// openSessions begins the sessions of all registered brokers. Those of unfenced
// ones end after a timeout from now, as if they had just been heard of. The
// caller holds mu.
func (c *Controller) openSessions(img *metadata.Image) {
	c.sessions = map[int32]*session{}
	for b := range img.Brokers() {
		s := &session{epoch: b.Epoch, registered: b.Epoch, shutdown: -1, offset: -1}
		c.sessions[b.ID] = s
		if !b.Fenced {
			c.startTimer(b.ID, s)
		}
	}
}

// closeSessions forgets all sessions. The caller holds mu.
func (c *Controller) closeSessions() {
	for _, s := range c.sessions {
		s.stop()
	}
	c.sessions = map[int32]*session{}
}

func (s *session) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// startTimer begins or prolongs a session. The caller holds mu.
func (c *Controller) startTimer(broker int32, s *session) {
	s.stop()
	s.heard++
	s.ends = c.o.Elapsed() + c.o.Config.Metadata.BrokerSessionTimeout
	c.armTimer(broker, s)
}

// armTimer sets the timer to the end of the session. The caller holds mu.
func (c *Controller) armTimer(broker int32, s *session) {
	heard := s.heard
	s.timer = time.AfterFunc(s.ends-c.o.Elapsed(), func() { c.expire(broker, s, heard) })
}

// silent tells whether nothing was heard of a broker since its timer began for
// the heard-th time. The caller holds mu.
func (c *Controller) silent(broker int32, s *session, heard uint64) bool {
	return c.sessions[broker] == s && s.heard == heard && !c.closed
}

// expire fences a broker that was not heard of for too long. After a pause of
// this process the timer is early: the heartbeats of that time may be on their
// way.
func (c *Controller) expire(broker int32, s *session, heard uint64) {
	c.mu.Lock()
	silent := c.silent(broker, s, heard)
	if silent && c.o.Elapsed() < s.ends {
		c.armTimer(broker, s)
		silent = false
	}
	if silent {
		s.connected = false
		c.background.Add(1)
	}
	c.mu.Unlock()
	if !silent {
		return
	}
	defer c.background.Done()
	c.o.Log.Warn("fencing a broker: its session has timed out", "broker", broker, "epoch", s.epoch)
	c.fence(broker, s, heard)
}

// fence commits the records that fence a broker, unless it is heard of before
// that is decided: other requests may be first. What may keep it from that is
// tried again after another session timeout, unless the controller is no longer
// active.
func (c *Controller) fence(broker int32, s *session, heard uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), c.o.Config.Metadata.BrokerSessionTimeout)
	defer cancel()
	_, err := submit(ctx, c, func(v *view) (outcome[struct{}], error) {
		c.mu.Lock()
		silent := c.silent(broker, s, heard)
		c.mu.Unlock()
		if !silent {
			return outcome[struct{}]{}, nil
		}
		return outcome[struct{}]{records: fence(v, broker, s.epoch)}, nil
	})
	if err == nil || errors.Is(err, protocol.NotController) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent(broker, s, heard) {
		c.startTimer(broker, s)
	}
}

// BrokerDisconnected tells that the connection over which a broker registered
// was closed: another incarnation with one of its log dirs may now replace it
// at once. epoch is the broker's.
func (c *Controller) BrokerDisconnected(broker int32, epoch int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[broker]; s != nil && s.epoch == epoch {
		s.connected = false
	}
}

// connected tells whether a broker's registered incarnation lives.
func (c *Controller) connected(broker int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[broker]
	return s != nil && s.connected
}

// registered begins the session of a new registration; one that only amends it
// goes on.
func (c *Controller) registered(broker int32, epoch, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[broker]
	if s == nil || s.epoch != epoch {
		if s != nil {
			s.stop()
		}
		s = &session{epoch: epoch, shutdown: -1, offset: -1}
		c.sessions[broker] = s
	}
	s.registered, s.connected = offset, true
}

// endSession forgets a broker's session.
func (c *Controller) endSession(broker int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[broker]; s != nil {
		s.stop()
		delete(c.sessions, broker)
	}
}

// touch notes that a broker was heard of.
func (c *Controller) touch(req *kmsg.BrokerHeartbeatRequest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.role.active {
		return c.notController()
	}
	s := c.sessions[req.BrokerID]
	if s == nil {
		return errNoSession(req.BrokerID)
	}
	if s.epoch == req.BrokerEpoch {
		s.offset, s.connected = req.CurrentMetadataOffset, true
		c.startTimer(req.BrokerID, s)
	}
	return nil
}

// pulse is what a heartbeat's decision needs beside the metadata.
func (c *Controller) pulse(broker int32) pulse {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := pulse{shutdown: -1, lowestActive: noActiveBroker}
	if s := c.sessions[broker]; s != nil {
		p.registered, p.shutdown = s.registered, s.shutdown
	}
	for id, s := range c.sessions {
		if b := c.tip.Broker(id); b != nil && b.Active() && id != broker {
			p.lowestActive = min(p.lowestActive, s.offset)
		}
	}
	return p
}

// heartbeatProposed keeps what a heartbeat brought about: the offset at which a
// broker that shuts down had lost its leaderships, or the end of its session.
func (c *Controller) heartbeatProposed(req *kmsg.BrokerHeartbeatRequest, resp *kmsg.BrokerHeartbeatResponse, last int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[req.BrokerID]
	switch {
	case s == nil || s.epoch != req.BrokerEpoch:
	case resp.IsFenced:
		s.shutdown = -1
		if resp.ShouldShutdown {
			s.stop()
			s.connected = false
		}
	case req.WantShutdown && s.shutdown < 0:
		s.shutdown = last
	}
}
