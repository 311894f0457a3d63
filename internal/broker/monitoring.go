package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ottla/internal/monitoring"
)

// The values of ottla.http.listener that are no address: it was left alone, or
// nothing is to be served.
const (
	defaultHTTP = "127.0.0.1:9644"
	noHTTP      = "none"
)

// openMonitoring opens the HTTP listener, before anything that takes time, so
// that who waits for the node can ask it. An address that was chosen and is in
// use ends the start; the default one is given up with a warning, for it is
// often another node's.
func (n *Node) openMonitoring(context.Context) error {
	address := n.static.Ottla.HTTPListener
	chosen := address != ""
	switch {
	case address == noHTTP:
		return nil
	case !chosen:
		address = defaultHTTP
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("ottla.http.listener: %w", err)
	}
	l, err := n.env.Listen("tcp", address)
	if err != nil {
		if !chosen {
			n.env.Log.Warn("no metrics and health are served: the default address is in use; ottla.http.listener names another, or none", "address", address, "error", err)
			return nil
		}
		return fmt.Errorf("ottla.http.listener: %w", err)
	}
	n.monitoring, err = monitoring.Serve(l, monitoring.Options{
		Ready: n.ready, Collector: &monitoring.Collector{Node: n.monitored.Load}, Hosts: n.httpHosts(host), Log: n.env.Log,
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return nil
}

// httpHosts are the names by which the HTTP listener may be asked: the host that
// it listens on, the machine's name, and what ottla.http.hosts adds.
func (n *Node) httpHosts(listener string) []string {
	names := append([]string{listener}, n.static.Ottla.HTTPHosts...)
	if machine, err := n.env.Hostname(); err == nil { // else callers do without it
		names = append(names, machine)
	}
	return names
}

// MonitoringAddr is where metrics and health are served; nil when they are not.
func (n *Node) MonitoringAddr() net.Addr {
	if n.monitoring == nil {
		return nil
	}
	return n.monitoring.Addr()
}

// ready is what the node must have to serve clients.
func (n *Node) ready() []monitoring.Check {
	checks := []monitoring.Check{
		{Name: "logs are recovered and the broker is registered"}, {Name: "log dirs are online"}, {Name: "log dirs take records"}, {Name: "the node is not shutting down"},
	}
	if n.retiring.Load() {
		checks[3].Err = errors.New("shutting down")
	}
	node := n.monitored.Load()
	if node == nil {
		checks[0].Err = errors.New("starting")
		return checks
	}
	if offline := n.offlinePaths(); len(offline) > 0 {
		checks[1].Err = fmt.Errorf("log dirs are offline: %s", strings.Join(offline, ", "))
	}
	if full := node.Storage.Full(); len(full) > 0 {
		checks[2].Err = fmt.Errorf("log dirs are full, records are refused: %s", strings.Join(full, ", "))
	}
	return checks
}

// offlinePaths are the configured log dirs that are not online.
func (n *Node) offlinePaths() []string {
	online := map[string]bool{}
	for _, d := range n.storage.Dirs() {
		online[filepath.Clean(d.Path)] = true
	}
	var offline []string
	for _, path := range n.static.LogDirs {
		if !online[filepath.Clean(path)] {
			offline = append(offline, path)
		}
	}
	return offline
}

// showFigures lets /metrics tell of the rooms, once all of them are there.
func (n *Node) showFigures() {
	n.monitored.Store(&monitoring.Node{
		ID: n.static.NodeID, Version: n.env.Version, Metrics: &n.metrics, Started: n.env.Now(), LogDirs: len(n.static.LogDirs),
		Replicas: n.replicas, Storage: n.storage, Image: n.controller.Image, Quorum: n.quorum.Figures, Connections: n.server.Connections,
		DiskIO: n.diskIO, Groups: n.groupFigures, FirstRecord: n.firstRecord, Now: n.env.Now, PartitionsMax: int(n.static.Ottla.MetricsPartitionsMax),
		MemoryMax: n.static.Ottla.MemoryMax, SuppressedLines: n.logs.Suppressed,
	})
}

// diskIO is what the process has read from disks and written to them, as Linux
// counts it; false where nobody counts.
func (n *Node) diskIO() (read, written int64, known bool) {
	f, err := n.env.FS.OpenFile("/proc/self/io", os.O_RDONLY, 0)
	if err != nil {
		return 0, 0, false
	}
	var text [1024]byte
	size, err := f.ReadAt(text[:], 0)
	_ = f.Close() // it was only read
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, false
	}
	return parseIO(string(text[:size]))
}

// parseIO reads what proc(5) says of a process' I/O: lines of name and number.
func parseIO(text string) (read, written int64, known bool) {
	counts := map[string]int64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		count, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return 0, 0, false
		}
		counts[name] = count
	}
	read, known = counts["read_bytes"]
	return read, counts["write_bytes"], known
}

// The bounds of what a scrape asks the group coordinator.
const (
	groupFiguresTimeout = time.Second
	groupFiguresMost    = 100_000 // offsets
)

// groupFigures are the groups that the node coordinates, and how many more there
// are. Where a partition ends
// is known of those that it leads: their high watermark.
func (n *Node) groupFigures() ([]monitoring.Group, int) {
	ctx, cancel := context.WithTimeout(context.Background(), groupFiguresTimeout)
	defer cancel()
	figures, omitted := n.groups.Figures(ctx, groupFiguresMost)
	groups := make([]monitoring.Group, len(figures))
	for i, f := range figures {
		groups[i] = monitoring.Group{ID: f.Group, Members: f.Members, Omitted: f.Omitted}
		for _, o := range f.Offsets {
			lag := monitoring.GroupLag{Topic: o.Topic, Partition: o.Partition, Committed: o.Offset, End: -1}
			if p, err := n.replicas.Partition(o.Topic, o.Partition); err == nil && p.Leader() == n.static.NodeID {
				log := p.Log()
				lag.TopicID = p.TopicPartition().TopicID
				lag.Start, lag.End, lag.Epoch, lag.Compacted = log.StartOffset(), p.HighWatermark(), p.LeaderEpoch(), log.Config().Compact
			}
			groups[i].Partitions = append(groups[i].Partitions, lag)
		}
	}
	return groups, omitted
}

// firstRecord is monitoring.Node's FirstRecord.
func (n *Node) firstRecord(topic string, partition int32, from, end int64) (timestamp int64, found bool, err error) {
	p, err := n.replicas.Partition(topic, partition)
	if err != nil {
		return 0, false, err
	}
	first, found, err := p.Log().FirstRecord(from, end)
	return first.Timestamp, found, err
}

// monitoringTimeout bounds the requests in flight when the node ends.
const monitoringTimeout = time.Second

func (n *Node) closeMonitoring() error {
	if n.monitoring == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), monitoringTimeout)
	defer cancel()
	return n.monitoring.Close(ctx)
}
