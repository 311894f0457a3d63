package node

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ottla/internal/broker"
	"ottla/internal/cli"
	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/raft"
	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

func storageCheck(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "check DIR…",
		Short: "Check whether 'ottla serve' can use the data of a stopped node",
		Long: `Check whether 'ottla serve' can use the log dirs of a stopped node, Apache Kafka's
or Ottla's. The command shows the node and cluster, the content, and what Ottla would
ignore or do differently from Kafka. Pass all log dirs of the node. Nothing is changed.

A problem is something that Ottla refuses at start or cannot serve; the output says
what to do about it. A note is a difference. Ottla keeps everything that it ignores,
and Kafka can use it again. 'ottla storage verify' checks the records themselves.

Exit code 0: Ottla can use the data; 1: it cannot; 2: invalid arguments.`,
		Args:    cli.UsageArgs(cobra.MinimumNArgs(1)),
		Example: "  ottla storage check /var/lib/kafka/data\n  ottla storage check /disk1/kafka /disk2/kafka --format json",
		RunE: func(_ *cobra.Command, args []string) error {
			return check(app, vfs.OS{}, args)
		},
	}
}

// checked is the result of the check.
type checked struct {
	Dirs     []checkedDir     `json:"dirs"`
	Servable bool             `json:"servable"`
	Node     *int32           `json:"nodeId"`
	Cluster  string           `json:"clusterId"`
	Clean    bool             `json:"cleanShutdown"`
	Features map[string]int16 `json:"features"`
	// MetadataVersion is the name of the level, "" if unknown.
	MetadataVersion string     `json:"metadataVersion"`
	Counts          checkCount `json:"counts"`
	// Ignored counts what Ottla ignores but keeps for Kafka, by
	// broker.Ignored.Name.
	Ignored  map[string]int `json:"ignored"`
	Problems []finding      `json:"problems"`
	Notes    []finding      `json:"notes"`
}

type checkedDir struct {
	Path        string `json:"path"`
	DirectoryID string `json:"directoryId"`
	Partitions  int    `json:"partitions"`
	MetadataLog bool   `json:"metadataLog"`
	Clean       bool   `json:"cleanShutdown"`
}

// checkCount counts the contents of the log dirs.
type checkCount struct {
	Topics           int `json:"topics"`
	Partitions       int `json:"partitions"`
	Groups           int `json:"groups"`
	ShareGroups      int `json:"shareGroups"`
	StreamsGroups    int `json:"streamsGroups"`
	OpenTransactions int `json:"openTransactions"`
}

// finding is a problem or a note: a description, and a remedy or consequence.
type finding struct {
	What   string `json:"what"`
	Advice string `json:"advice"`
}

func check(app *cli.App, fsys vfs.FS, paths []string) error {
	c := &checker{fs: fsys, codecs: record.NewCodecs(), result: &checked{Features: map[string]int16{}, Ignored: map[string]int{}, Problems: []finding{}, Notes: []finding{}}}
	err := c.run(paths)
	if err != nil {
		return err
	}
	r := c.result
	r.Servable = len(r.Problems) == 0
	if err := app.Print(r, r.print); err != nil {
		return err
	}
	if !r.Servable {
		return cli.ErrItems
	}
	return nil
}

// checker checks the log dirs of one node.
type checker struct {
	fs     vfs.FS
	codecs *record.Codecs
	result *checked
	dirs   []broker.SurveyedDir
	// metadataDir is the index of the log dir that contains the metadata log.
	metadataDir int
	image       *metadata.Image
}

func (c *checker) problem(remedy, format string, args ...any) {
	c.result.Problems = append(c.result.Problems, finding{fmt.Sprintf(format, args...), remedy})
}

func (c *checker) note(remedy, format string, args ...any) {
	c.result.Notes = append(c.result.Notes, finding{fmt.Sprintf(format, args...), remedy})
}

// run fills in the result. It returns an error only if the data could not be
// checked: a dir is missing, in use, or unreadable.
func (c *checker) run(paths []string) error {
	for _, path := range paths {
		if _, err := c.fs.Stat(path); err != nil {
			return err
		}
		unlock, err := lockDir(c.fs, path)
		if errors.Is(err, vfs.ErrLocked) {
			return fmt.Errorf("a node is running in %s: stop it first (%s is locked)", path, lockFile)
		}
		if err != nil {
			return err
		}
		defer unlock()
	}
	c.dirs = broker.SurveyDirs(c.fs, paths)
	c.describeDirs()
	for i := range c.dirs {
		var corrupt *storage.CorruptError
		if err := c.dirs[i].Err; err != nil && !errors.As(err, &corrupt) {
			return err
		}
	}
	if !c.identity() {
		return nil
	}
	if !c.metadata() {
		return nil
	}
	c.features()
	c.logDirs()
	c.partitions()
	c.configs()
	c.notServed()
	c.internalTopics()
	c.note("ottla.durability=page-cache is what Kafka does", "a record (acks=all) is acknowledged when it is on disk, unless ottla.durability says otherwise")
	return nil
}

func (c *checker) describeDirs() {
	c.result.Clean = true
	for i := range c.dirs {
		d := &c.dirs[i]
		shown := checkedDir{Path: d.Path, Partitions: len(d.Partitions), MetadataLog: d.MetadataLog, Clean: slices.Contains(d.Marks, cleanMark)}
		if d.Meta != nil {
			shown.DirectoryID = metadata.FormatUUID(d.Meta.DirectoryID)
		}
		if d.MetadataLog && !c.dirs[c.metadataDir].MetadataLog {
			c.metadataDir = i
		}
		c.result.Clean = c.result.Clean && shown.Clean
		c.result.Dirs = append(c.result.Dirs, shown)
	}
}

// cleanMark is the file that a node writes when it stops cleanly.
const cleanMark = ".kafka_cleanshutdown"

// identity determines which node the dirs belong to. It returns false if the
// check cannot continue.
func (c *checker) identity() bool {
	for i := range c.dirs {
		if meta := c.dirs[i].Meta; meta != nil {
			c.result.Node, c.result.Cluster = &meta.NodeID, meta.ClusterID
			break
		}
	}
	node := int32(1)
	if c.result.Node != nil {
		node = *c.result.Node
	}
	if err := broker.CheckDirs(c.dirs, node, "", c.dirs[c.metadataDir].Path); err != nil {
		c.problem("", "%v", err)
		return false
	}
	if c.result.Node == nil {
		c.note("", "nothing of a node is in there: 'ottla serve' makes a new cluster of it")
		c.result.Clean = true
		return false
	}
	if node != defaultNodeID {
		c.note("give 'ottla serve' Kafka's server.properties by -c, or --set node.id="+strconv.Itoa(int(node)), "the data belongs to node %d", node)
	}
	if !c.result.Clean {
		c.note("", "the node was not stopped in order: the next start, Ottla's or Kafka's, recovers what it left")
	}
	return true
}

// defaultNodeID is the default of node.id.
const defaultNodeID = 1

// metadata reads the metadata log. It returns false if the log cannot be
// opened.
func (c *checker) metadata() bool {
	d := &c.dirs[c.metadataDir]
	self := raft.ReplicaKey{NodeID: *c.result.Node}
	if d.Meta != nil {
		self.DirectoryID = d.Meta.DirectoryID
	}
	in, err := raft.Inspect(c.fs, d.Path, self, c.codecs)
	switch {
	case errors.Is(err, raft.ErrNotVoter):
		c.problem("meta.properties must be as the node left it, with its directory.id; a node of a larger cluster must stay Kafka's: Ottla serves a single one that is broker and controller", "%v", err)
		return false
	case err != nil:
		c.problem("restore the folder of the metadata log from a backup", "the metadata log cannot be opened: %v", err)
		return false
	case len(in.Voters) > 1:
		c.problem("Ottla serves a single node that is broker and controller; a node of a larger cluster must stay Kafka's", "the quorum has the voters %v", in.Voters)
		return false
	}
	c.image = in.Image
	c.result.Features[metadata.FeatureKRaftVersion] = in.KRaftVersion
	if in.KRaftVersion == 0 {
		c.note("", "the voters stand in controller.quorum.voters (kraft.version 0); they stay there, and Kafka needs the setting again")
	}
	if in.Torn != nil {
		c.note("", "the next start cuts the unsynced end of the metadata log: %v", in.Torn)
	}
	if c.dirs[c.metadataDir].Path != c.dirs[0].Path {
		c.note("set metadata.log.dir="+d.Path+", unless server.properties does, or name it first in log.dirs", "the metadata log is in %s", d.Path)
	}
	return true
}

func (c *checker) features() {
	supported := map[string]metadata.FeatureLevels{}
	for _, f := range metadata.SupportedFeatures() {
		supported[f.Name] = f
	}
	for name, level := range c.image.Features() {
		c.result.Features[name] = level
		if f, ok := supported[name]; !ok || level < f.Min || level > f.Max {
			c.problem("serve it with the Kafka that wrote it", "the feature %s is at level %d; Ottla serves %d to %d", name, level, f.Min, f.Max)
		}
	}
	level := c.image.MetadataVersion()
	c.result.MetadataVersion = metadata.LevelName(level)
	if level != 0 && level != metadata.CurrentLevel {
		c.note("", "metadata.version is %s; it stays so, and Ottla writes what that version knows", metadata.LevelName(level))
	}
	others := 0
	for b := range c.image.Brokers() {
		if b.ID != *c.result.Node {
			others++
		}
	}
	if others > 0 {
		c.problem("Ottla serves a single node; remove the others first (kafka-reassign-partitions, then kafka-cluster unregister)", "%d other brokers are registered", others)
	}
}

// logDirs reports registered log dirs of the node that were not passed to the
// command.
func (c *checker) logDirs() {
	named := map[metadata.UUID]bool{}
	for i := range c.dirs {
		if meta := c.dirs[i].Meta; meta != nil {
			named[meta.DirectoryID] = true
		}
	}
	b := c.image.Broker(*c.result.Node)
	if b == nil {
		return
	}
	for _, id := range b.LogDirs {
		if !named[id] {
			c.problem("name all log dirs; one whose meta.properties was lost needs directory.id="+metadata.FormatUUID(id)+" there", "the node had another log dir, with the directory.id %s", metadata.FormatUUID(id))
		}
	}
	for i := range c.dirs {
		if d := &c.dirs[i]; d.Meta == nil {
			c.note("check that its disk is mounted", "%s is empty; it becomes a new log dir", d.Path)
		}
	}
}

// partitions compares the folders with the topics.
func (c *checker) partitions() {
	for t := range c.image.Topics() {
		c.result.Counts.Topics++
		c.result.Counts.Partitions += t.NumPartitions()
		if enabled, _ := c.image.Config(metadata.ResourceTopic, t.Name, "remote.storage.enable"); enabled == "true" {
			c.problem("turn tiered storage off for the topic with Kafka, and let it fetch what is remote", "topic %s has tiered storage, which Ottla does not serve", t.Name)
		}
	}
	strays, deleted := []string{}, 0
	for i := range c.dirs {
		for _, name := range c.dirs[i].Partitions {
			topic, ok := c.topicOf(c.dirs[i].Path, name)
			switch {
			case strings.HasSuffix(name, "-delete"):
				deleted++
			case ok && topic == nil:
				strays = append(strays, filepath.Join(c.dirs[i].Path, name))
			}
		}
	}
	if deleted > 0 {
		c.note("", "%d folders of deleted partitions are removed after the start, as Kafka does", deleted)
	}
	if len(strays) > 0 {
		c.note("look at them with 'ottla storage dump', and remove them when they are of no use", "%d folders belong to no topic and are not served (%s)", len(strays), strings.Join(strays[:min(len(strays), 3)], ", "))
	}
}

// topicOf is the topic that a partition's folder belongs to, nil if there is
// none. It returns false if the folder has no readable topic id.
func (c *checker) topicOf(dir, name string) (*metadata.Topic, bool) {
	id, err := storage.ReadPartitionMetadata(c.fs, filepath.Join(dir, name))
	if err != nil {
		return nil, false
	}
	return c.image.TopicByID(id), true
}

// configs reports dynamic broker configs that Ottla ignores.
func (c *checker) configs() {
	static, err := config.Load(config.Sources{})
	if err != nil {
		return
	}
	node := strconv.Itoa(int(*c.result.Node))
	_, ignored := static.With(c.image.Configs(metadata.ResourceBroker, node), c.image.Configs(metadata.ResourceBroker, ""))
	for _, what := range ignored {
		c.note("", "%s", what)
	}
}

// notServed reports metadata that Ottla keeps and does not use.
func (c *checker) notServed() {
	for _, ignored := range broker.IgnoredIn(c.image) {
		c.note(ignored.Effect, "%d %s are kept for Kafka", ignored.Count, ignored.What)
		c.result.Ignored[ignored.Name] = ignored.Count
	}
}

func (r *checked) print(w io.Writer) {
	if r.Node != nil {
		fmt.Fprintf(w, "node %d of cluster %s, ", *r.Node, r.Cluster)
		if r.Clean {
			fmt.Fprintln(w, "stopped in order")
		} else {
			fmt.Fprintln(w, "not stopped in order")
		}
	}
	for _, d := range r.Dirs {
		fmt.Fprintf(w, "  %s: %d partition folders", d.Path, d.Partitions)
		if d.MetadataLog {
			fmt.Fprint(w, ", metadata log")
		}
		fmt.Fprintln(w)
	}
	if r.MetadataVersion != "" {
		n := r.Counts
		fmt.Fprintf(w, "  metadata.version %s, kraft.version %d", r.MetadataVersion, r.Features[metadata.FeatureKRaftVersion])
		for _, name := range slices.Sorted(maps.Keys(r.Features)) {
			if name != metadata.FeatureMetadataVersion && name != metadata.FeatureKRaftVersion {
				fmt.Fprintf(w, ", %s %d", name, r.Features[name])
			}
		}
		fmt.Fprintf(w, "\n  %d topics, %d partitions, %d groups, %d open transactions\n", n.Topics, n.Partitions, n.Groups, n.OpenTransactions)
	}
	for _, list := range []struct {
		name  string
		found []finding
	}{{"problem", r.Problems}, {"note", r.Notes}} {
		for _, f := range list.found {
			fmt.Fprintf(w, "%s: %s\n", list.name, f.What)
			if f.Advice != "" {
				fmt.Fprintf(w, "    %s\n", f.Advice)
			}
		}
	}
	if r.Servable {
		fmt.Fprintln(w, "Ottla can serve this.")
	} else {
		fmt.Fprintln(w, "Ottla cannot serve this.")
	}
}
