package broker

import (
	"strconv"

	"ottla/internal/config"
	"ottla/internal/metadata"
)

// publish hands a change of the committed metadata to the rooms that care, in
// this order: the configuration in force, the replicas, then the coordinators,
// which load in goroutines of their own.
//
// Until the image holds this incarnation's own registration it tells of the
// past: topics that were deleted long ago come and go in a replay. So nothing
// is handed on before; then everything at once (M12).
func (n *Node) publish(img *metadata.Image, delta *metadata.Delta) {
	if !n.caughtUp {
		b := img.Broker(n.static.NodeID)
		if b == nil || b.IncarnationID != n.incarnation {
			return
		}
		n.caughtUp = true
		for _, ignored := range IgnoredIn(img) {
			n.env.Log.Warn("the metadata has "+ignored.What+" that are kept and ignored", "count", ignored.Count, "effect", ignored.Effect)
		}
		delta = metadata.Diff(metadata.Empty(), img)
	}
	n.metrics.UncleanElections.Add(int64(delta.UncleanElections()))
	n.reconfigure(img, delta)
	if err := n.replicas.Apply(img, delta); err != nil {
		n.env.Log.Error("some partitions cannot be served", "error", err)
	}
	n.groups.Follow(img, delta)
	n.noteAssignments(img, delta)
}

// reconfigure puts configs in force that were altered at run time.
func (n *Node) reconfigure(img *metadata.Image, delta *metadata.Delta) {
	self := strconv.Itoa(int(n.static.NodeID))
	for _, r := range delta.Configs {
		if r.Type != metadata.ResourceBroker || r.Name != "" && r.Name != self {
			continue
		}
		next, ignored := n.static.With(img.Configs(metadata.ResourceBroker, self), img.Configs(metadata.ResourceBroker, ""))
		for _, what := range ignored {
			n.env.Log.Warn("a dynamic config is not in force", "reason", what)
		}
		n.config.Store(next)
		n.storage.Reconfigure(next.Logs, next.Producers)
		return
	}
}

// topicConfig is the config of a topic with its overrides, under the
// configuration in force.
func (n *Node) topicConfig(overrides map[string]string) (config.Topic, error) {
	return n.config.Load().Topic(overrides)
}
