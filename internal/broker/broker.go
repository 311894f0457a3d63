// Package broker joins the rooms to one node and runs it from start to end.
//
// Nothing here knows what a request means: Start opens the rooms in their
// order and hands each what it needs of the others; Close goes the other way.
// Env is everything that a node touches outside itself.
//
// Start reading at Start (start.go), then lifecycle.go (registration, fencing,
// heartbeats), publish.go (what a change of the metadata reaches) and env.go.
package broker

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ottla/internal/api"
	"ottla/internal/config"
	"ottla/internal/controller"
	"ottla/internal/group"
	"ottla/internal/logs"
	"ottla/internal/metadata"
	"ottla/internal/metrics"
	"ottla/internal/monitoring"
	"ottla/internal/raft"
	"ottla/internal/record"
	"ottla/internal/replica"
	"ottla/internal/server"
	"ottla/internal/storage"
)

// Node is a running node: broker and controller in one.
type Node struct {
	env       Env
	logs      *logs.Handler                 // that env.Log writes to
	static    *config.Broker                // what the node started with
	config    atomic.Pointer[config.Broker] // with what was altered at run time
	clusterID string
	clock     *clock
	// advertised are the listeners that clients are told of.
	advertised []config.Listener

	// bootstrap are the first records of a cluster whose folder Kafka formatted.
	bootstrap  []metadata.Message
	codecs     *record.Codecs
	storage    *storage.Manager
	controller *controller.Controller
	quorum     *raft.Node
	replicas   *replica.Manager
	groups     *group.Coordinator
	server     *server.Server
	handler    api.Handler
	metrics    metrics.Metrics
	// monitoring is nil when no HTTP listener is served; monitored is what it
	// shows, once there is something; retiring tells that the node goes down.
	monitoring *monitoring.Server
	monitored  atomic.Pointer[monitoring.Node]
	retiring   atomic.Bool

	// incarnation is this start of the process; previousEpoch is the broker
	// epoch of a clean stop before, -1 if there was none.
	incarnation   metadata.UUID
	previousEpoch int64
	epoch         int64 // the broker epoch, once registered
	caughtUp      bool  // belongs to publish

	stop       context.CancelFunc // ends what runs in background
	background sync.WaitGroup
	// failures has room for one of each log dir: a dir may fail before the node
	// is ready to do anything about it. dirFailed has one token: tell the
	// controller soon.
	failures  chan storage.DirFailure
	dirFailed chan struct{}

	assign assignments

	mu      sync.Mutex
	offline []metadata.UUID // log dirs that failed

	closing sync.Once
	ended   chan struct{} // closed when the node is down
	err     error         // why it ended; read after ended
}

// Addr is the host:port of the first advertised listener.
func (n *Node) Addr() string {
	l := n.advertised[0]
	return net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))
}

// ClusterID is the id of the cluster, as Kafka writes it.
func (n *Node) ClusterID() string { return n.clusterID }

// Config is the configuration in force.
func (n *Node) Config() *config.Broker { return n.config.Load() }

// Wait returns when the node is down: nil after Close, else what ended it.
func (n *Node) Wait() error {
	<-n.ended
	return n.err
}

// Close shuts the node down in order and returns when nothing of it runs any
// more. Closing twice is allowed.
func (n *Node) Close() error {
	n.shutdown(nil)
	<-n.ended
	return n.err
}

// watch ends the node when its quorum does, or when a log dir fails without
// which it cannot go on.
func (n *Node) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.quorum.Done():
			if err := n.quorum.Err(); err != nil {
				n.shutdown(err)
			}
			return
		case f := <-n.failures:
			if err := n.dirFailure(f); err != nil {
				n.shutdown(err)
				return
			}
		}
	}
}

// shutdown is Close, once, in the background of the first caller:
//
//  1. The heartbeats end, one of which would call a fenced broker back. Then the
//     controller lets the broker go, so that clients look elsewhere.
//  2. The server answers what is due and closes the connections.
//  3. The coordinators end, then the replicas give up those who still wait.
//  4. The quorum stops, then the controller.
//  5. The logs are flushed and marked as cleanly closed.
//  6. The HTTP listener closes: until here it tells that the node goes down.
//     The clock is stopped.
func (n *Node) shutdown(cause error) {
	n.closing.Do(func() {
		go func() {
			n.err = errors.Join(cause, n.close(cause == nil))
			close(n.ended)
		}()
	})
}

// answerTimeout bounds how long the answers that are due may take to leave.
const answerTimeout = 5 * time.Second

func (n *Node) close(orderly bool) error {
	n.retiring.Store(true)
	n.stop()
	n.background.Wait()
	if n.server != nil && orderly {
		n.retire(context.Background())
	}
	var errs []error
	if n.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
		errs = append(errs, n.server.Shutdown(ctx))
		cancel()
	}
	if n.groups != nil {
		n.groups.Close()
	}
	if n.replicas != nil {
		n.replicas.Close()
	}
	if n.quorum != nil {
		errs = append(errs, n.quorum.Close())
	}
	if n.controller != nil {
		n.controller.Close()
	}
	if n.storage != nil {
		errs = append(errs, n.storage.Close(max(n.epoch, n.previousEpoch)))
	}
	errs = append(errs, n.closeMonitoring())
	n.logs.Report(context.Background(), n.env.Now())
	n.clock.stop()
	return errors.Join(errs...)
}

// sessionShare of ottla.memory.max is what the fetch sessions take at most.
const sessionShare = 8

// equip gives the handlers what they need of the other rooms.
func (n *Node) equip() {
	ids := newProducerIDs(n.env.random("producer ids"), n.allocateProducerIDs)
	n.handler.ClusterID = n.clusterID
	n.handler.Static, n.handler.Config = n.static, n.config.Load
	n.handler.Controller, n.handler.Quorum = n.controller, n.quorum.Status
	n.handler.Replicas, n.handler.Groups, n.handler.Storage = n.replicas, n.groups, n.storage
	n.handler.ProducerID = ids.Next
	n.handler.Sessions = api.NewFetchSessions(n.env.Now, n.env.random("fetch sessions"), n.static.Ottla.MemoryMax/sessionShare, func() int {
		return int(n.config.Load().Network.FetchSessions)
	})
	n.handler.LogLevel, n.handler.Now = n.env.LogLevel, n.env.Now
}
