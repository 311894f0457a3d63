package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/api"
	"ottla/internal/config"
	"ottla/internal/controller"
	"ottla/internal/group"
	"ottla/internal/logs"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/raft"
	"ottla/internal/record"
	"ottla/internal/replica"
	"ottla/internal/server"
	"ottla/internal/storage"
)

// Start runs a node and returns when clients can use it. ctx bounds the start
// only.
//
//  1. The listeners are bound, so that a port in use is found before anything
//     is written. The HTTP listener answers from now on.
//  2. The log dirs are locked and opened; what a crash left is recovered.
//  3. The quorum replays the metadata; a single voter elects itself.
//  4. The broker registers. Once its registration is committed and applied it
//     knows all topics, and opens their partitions.
//  5. A heartbeat unfences it: it leads its partitions, in leader epochs that
//     this incarnation was given.
//  6. Connections are accepted.
func Start(ctx context.Context, cfg *config.Broker, env Env) (*Node, error) {
	bounded := logs.New(env.Log.Handler(), env.Elapsed)
	env.Log = slog.New(bounded)
	n := &Node{
		env: env, logs: bounded, static: cfg, codecs: record.NewCodecs(), epoch: -1, previousEpoch: -1,
		incarnation: newUUID(env.random("incarnation")),
		failures:    make(chan storage.DirFailure, len(cfg.LogDirs)), dirFailed: make(chan struct{}, 1),
		assign: assignments{pending: map[placed]metadata.UUID{}, changed: make(chan struct{}, 1)},
		ended:  make(chan struct{}),
	}
	if n.env.LogLevel == nil {
		n.env.LogLevel = new(slog.LevelVar)
	}
	n.config.Store(cfg)
	n.clock = newClock(env.Elapsed, env.Log)
	n.clock.start()
	running, stop := context.WithCancel(context.Background())
	n.stop = stop
	for _, warning := range cfg.Warnings {
		env.Log.Warn(warning)
	}
	for _, step := range []func(context.Context) error{n.listen, n.openMonitoring, n.openStorage, n.openQuorum, n.register, n.unfence} {
		if err := step(ctx); err != nil {
			n.shutdown(err)
			<-n.ended
			return nil, err
		}
	}
	n.equip()
	n.showFigures()
	n.server.Serve()
	n.background.Go(func() { n.live(running) })
	n.background.Go(func() { n.watch(running) })
	n.background.Go(func() { n.assignDirs(running) })
	return n, nil
}

// listen binds the listeners. The handlers get what they need before Serve.
func (n *Node) listen(context.Context) (err error) {
	n.server, err = server.New(server.Options{
		Config: n.static, Handler: &n.handler, Table: api.Table(), Listen: n.env.Listen, Resolve: n.env.Resolve, Now: n.env.Now, Log: n.env.Log, Metrics: &n.metrics,
	})
	if err != nil {
		return err
	}
	if err := n.server.Listen(); err != nil {
		return err
	}
	return n.advertise()
}

func (n *Node) openStorage(ctx context.Context) (err error) {
	if n.clusterID, err = clusterID(n.static, n.env); err != nil {
		return err
	}
	if n.bootstrap, err = raft.ReadBootstrap(n.env.FS, n.static.MetadataLogDir, n.codecs); err != nil {
		return err
	}
	defaults, err := n.static.Topic(nil)
	if err != nil {
		return err
	}
	openFiles, openFilesLimit := openFiles(int(n.static.Ottla.OpenFilesMax))
	n.storage, err = storage.OpenManager(ctx, storage.Options{
		FS: n.env.FS, Dirs: n.static.LogDirs, Now: n.env.Now, Log: n.env.Log, Codecs: n.codecs, Seed: n.env.random("storage").Uint64(),
		NodeID: n.static.NodeID, ClusterID: n.clusterID,
		Durability: n.static.Ottla.Durability, FlushMethod: n.static.Ottla.FlushMethod,
		OpenFilesMax: openFiles, OpenFilesLimit: openFilesLimit,
		ReserveBytes: n.static.Ottla.DiskReserve,
		Default:      defaults, Logs: n.static.Logs, HighWatermarkInterval: n.static.Replication.CheckpointInterval,
		Producers: n.static.Producers, OnDirFailure: func(f storage.DirFailure) { n.failures <- f }, Metrics: &n.metrics,
	})
	if err != nil {
		return err
	}
	if epoch, clean := n.storage.CleanStop(); clean {
		n.previousEpoch = epoch
	}
	return nil
}

// openFiles is how many files of segments stay open, of most: the other places are
// for those that are read or not on disk yet when more are than stay.
func openFiles(most int) (stay, limit int) {
	if most == 0 {
		return 0, 0
	}
	stay = max(1, most*3/4)
	return stay, max(most, stay+1)
}

func (n *Node) openQuorum(context.Context) error {
	n.replicas = replica.NewManager(replica.Options{
		NodeID: n.static.NodeID, Storage: n.storage, Durability: n.static.Ottla.Durability, TopicConfig: n.topicConfig, Log: n.env.Log, Metrics: &n.metrics,
	})
	n.groups = group.NewCoordinator(group.Options{
		NodeID: n.static.NodeID, Replicas: n.replicas, Config: n.config.Load, Now: n.env.Now, Elapsed: n.clock.Elapsed,
		Random: n.env.random("groups"), Codecs: n.codecs, Log: n.env.Log, Code: api.CoordinatorCode,
	})
	n.controller = controller.New(controller.Options{
		NodeID: n.static.NodeID, ClusterID: n.clusterID, Config: n.static, Rand: n.env.random("controller"), Elapsed: n.clock.Elapsed, Log: n.env.Log,
		Bootstrap: n.bootstrap, KRaftVersion: func() int16 { return n.quorum.KRaftVersion() },
	})
	dir, err := n.metadataDir()
	if err != nil {
		return err
	}
	m := n.static.Metadata
	n.quorum, err = raft.Open(raft.Options{
		FS: n.storage.FS(), Dir: dir.Path, NodeID: n.static.NodeID, DirectoryID: dir.ID, Endpoints: n.voterEndpoints(),
		Static: len(n.bootstrap) > 0, // Kafka formatted it, and left out the voters
		Now:    n.env.Now, Elapsed: n.env.Elapsed, Log: n.env.Log, Codecs: n.codecs,
		SegmentBytes: m.SegmentBytes, SegmentAge: m.SegmentAge,
		SnapshotSource: n.controller.Records, SnapshotBytes: m.SnapshotBytes, SnapshotInterval: m.SnapshotInterval,
		RetentionBytes: m.RetentionBytes, RetentionAge: m.Retention,
		LeaderChanged: n.controller.LeaderChanged,
	})
	if err != nil {
		return err
	}
	n.controller.Attach(n.quorum)
	n.controller.Subscribe(n.publish)
	return n.quorum.Start(n.controller.Apply)
}

// metadataDir is the log dir that holds the metadata log.
func (n *Node) metadataDir() (storage.Dir, error) {
	for _, dir := range n.storage.Dirs() {
		if dir.Path == n.static.MetadataLogDir {
			return dir, nil
		}
	}
	return storage.Dir{}, fmt.Errorf("metadata.log.dir %s is not an online log dir", n.static.MetadataLogDir)
}

// advertise fixes what clients are told: the machine's name in the place of an
// empty host, and the port that was bound in the place of port 0.
func (n *Node) advertise() error {
	n.advertised = slices.Clone(n.static.Advertised)
	for i := range n.advertised {
		l := &n.advertised[i]
		if l.Port == 0 {
			l.Port = n.boundPort(l.Name)
		}
		if l.Host == "" {
			host, err := n.env.Hostname()
			if err != nil {
				return fmt.Errorf("the host of advertised listener %s: %w", l.Name, err)
			}
			l.Host = host
		}
	}
	return nil
}

// boundPort is the port that a listener got, 0 when it has none.
func (n *Node) boundPort(listener string) int32 {
	if addr, ok := n.server.Addr(listener).(*net.TCPAddr); ok {
		return int32(addr.Port)
	}
	return 0
}

// voterEndpoints are where this node's controller is reached.
func (n *Node) voterEndpoints() []metadata.VoterEndpoint {
	var endpoints []metadata.VoterEndpoint
	for _, l := range n.static.Listeners {
		if l.Controller {
			endpoints = append(endpoints, metadata.VoterEndpoint{Name: l.Name, Host: l.Host, Port: uint16(n.boundPort(l.Name))})
		}
	}
	return endpoints
}

// allocateProducerIDs asks the controller for a block of producer ids.
func (n *Node) allocateProducerIDs(ctx context.Context) (first int64, count int32, err error) {
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	req.BrokerID, req.BrokerEpoch = n.static.NodeID, n.epoch
	resp := n.controller.AllocateProducerIDs(ctx, req)
	if code := protocol.Code(resp.ErrorCode); code != protocol.None {
		return 0, 0, code
	}
	if resp.ProducerIDLen <= 0 {
		return 0, 0, errors.New("the controller gave an empty block of producer ids")
	}
	return resp.ProducerIDStart, resp.ProducerIDLen, nil
}
