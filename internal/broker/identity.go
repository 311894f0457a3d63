package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/raft"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// clusterID is the id of the cluster that the node belongs to: the configured
// one, else that of a log dir, else, on the very first start, a new one.
//
// It is the check that precedes the first write of a start: it looks at every
// log dir, and what it refuses is as it was. A dir that cannot be read at all is
// left to the Manager, which goes on without it.
func clusterID(cfg *config.Broker, env Env) (string, error) {
	dirs := SurveyDirs(env.FS, cfg.LogDirs)
	if err := CheckDirs(dirs, cfg.NodeID, cfg.ClusterID, cfg.MetadataLogDir); err != nil {
		return "", err
	}
	if cfg.ClusterID != "" {
		return cfg.ClusterID, nil
	}
	for _, d := range dirs {
		if d.Meta != nil {
			return d.Meta.ClusterID, nil
		}
	}
	for _, d := range dirs {
		if d.Err != nil {
			return "", fmt.Errorf("log dir %s cannot be read, and no other log dir has a meta.properties that names the cluster: %w", d.Path, d.Err)
		}
	}
	return metadata.FormatUUID(newUUID(env.random("cluster id"))), nil
}

// SurveyedDir is a log dir as it is found before a start.
type SurveyedDir struct {
	Path string
	// Meta is meta.properties, nil when there is none.
	Meta *storage.MetaProperties
	// Partitions are the folders of partitions, of deleted ones and strays too,
	// by name. MetadataLog tells that the metadata log's folder is there.
	Partitions  []string
	MetadataLog bool
	// Marks are other files that only a node makes which has an identity.
	Marks []string
	// Err is why the dir could not be looked at; a dir that is missing is empty.
	Err error
}

// Holds names something of a node's in the dir, "" when there is nothing.
func (d *SurveyedDir) Holds() string {
	switch {
	case d.MetadataLog:
		return raft.TopicPartition
	case len(d.Partitions) > 0:
		return d.Partitions[0]
	case len(d.Marks) > 0:
		return d.Marks[0]
	}
	return ""
}

// SurveyDirs looks at log dirs and changes nothing.
func SurveyDirs(fsys vfs.FS, paths []string) []SurveyedDir {
	dirs := make([]SurveyedDir, len(paths))
	for i, path := range paths {
		dirs[i] = SurveyedDir{Path: path}
		dirs[i].Err = dirs[i].look(fsys)
	}
	return dirs
}

func (d *SurveyedDir) look(fsys vfs.FS) error {
	entries, err := fsys.ReadDir(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case e.IsDir() && name == raft.TopicPartition:
			d.MetadataLog = true
		case e.IsDir() && storage.IsPartitionDir(name):
			d.Partitions = append(d.Partitions, name)
		case !e.IsDir() && (strings.HasSuffix(name, "-offset-checkpoint") || name == ".kafka_cleanshutdown"):
			d.Marks = append(d.Marks, name)
		}
	}
	meta, err := storage.ReadMetaProperties(fsys, d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		d.Meta = &meta
	}
	return err
}

// CheckDirs refuses log dirs that do not all belong to this node of this
// cluster ("": any), or from which something is missing that says so. Only a dir
// that holds nothing gets an identity.
func CheckDirs(dirs []SurveyedDir, node int32, cluster, metadataDir string) error {
	var known *SurveyedDir // a dir whose identity the others must share
	for i := range dirs {
		d := &dirs[i]
		var corrupt *storage.CorruptError
		switch {
		case errors.As(d.Err, &corrupt):
			return fmt.Errorf("log dir %s: %w", d.Path, d.Err)
		case d.Meta == nil:
			continue
		case d.Meta.NodeID != node:
			return fmt.Errorf("log dir %s belongs to node %d by its meta.properties, this is node %d: set node.id=%d, or name another log dir", d.Path, d.Meta.NodeID, node, d.Meta.NodeID)
		case cluster != "" && d.Meta.ClusterID != cluster:
			return fmt.Errorf("log dir %s belongs to cluster %s by its meta.properties, ottla.cluster.id is %s: leave ottla.cluster.id out, or name another log dir", d.Path, d.Meta.ClusterID, cluster)
		case known != nil && d.Meta.ClusterID != known.Meta.ClusterID:
			return fmt.Errorf("log dirs %s and %s belong to different clusters by their meta.properties, %s and %s: name those of one cluster only", known.Path, d.Path, known.Meta.ClusterID, d.Meta.ClusterID)
		}
		for _, other := range dirs[:i] {
			if other.Meta != nil && other.Meta.DirectoryID == d.Meta.DirectoryID && d.Meta.DirectoryID != (metadata.UUID{}) {
				return fmt.Errorf("log dirs %s and %s have the same directory.id %s in meta.properties: one is a copy of the other, name only one of them", other.Path, d.Path, metadata.FormatUUID(d.Meta.DirectoryID))
			}
		}
		known = d
	}
	if err := checkIdentified(dirs, known); err != nil {
		return err
	}
	return checkMetadataLog(dirs, metadataDir)
}

// checkIdentified refuses a dir that holds something, but not meta.properties.
func checkIdentified(dirs []SurveyedDir, known *SurveyedDir) error {
	for _, d := range dirs {
		if d.Err != nil || d.Meta != nil || d.Holds() == "" {
			continue
		}
		file := filepath.Join(d.Path, "meta.properties")
		if known != nil {
			return fmt.Errorf("log dir %s holds data (%s), but %s is missing, which says whose it is: put the file back, with version=1, node.id=%d, cluster.id=%s as in %s, and its own directory.id",
				d.Path, d.Holds(), file, known.Meta.NodeID, known.Meta.ClusterID, known.Path)
		}
		return fmt.Errorf("log dir %s holds data (%s), but %s is missing, which says whose it is: put the file back, with version=1, node.id, cluster.id and directory.id as they were, or name an empty folder", d.Path, d.Holds(), file)
	}
	return nil
}

// checkMetadataLog refuses partitions without the log that knows their topics.
func checkMetadataLog(dirs []SurveyedDir, metadataDir string) error {
	partitions, elsewhere := "", ""
	for _, d := range dirs {
		// Of a dir that cannot be read nobody knows what is missing.
		found := d.MetadataLog || d.Err != nil
		switch own := filepath.Clean(d.Path) == filepath.Clean(metadataDir); {
		case own && found:
			return nil
		case d.MetadataLog:
			elsewhere = d.Path
		case len(d.Partitions) > 0:
			partitions = filepath.Join(d.Path, d.Partitions[0])
		}
	}
	switch {
	case elsewhere != "":
		return fmt.Errorf("the metadata log (%s) is not in the log dir %s, but in %s: set metadata.log.dir=%s", raft.TopicPartition, metadataDir, elsewhere, elsewhere)
	case partitions != "":
		return fmt.Errorf("the metadata log is missing: there is no %s, without which no topic is known, but there are partitions (%s): put the folder back, or set metadata.log.dir to where it is",
			filepath.Join(metadataDir, raft.TopicPartition), partitions)
	}
	return nil
}

// newUUID makes a random id (version 4). One that would begin with a hyphen
// when written, and be mistaken for an option by a shell, is drawn again, as
// Kafka does.
func newUUID(random *rand.Rand) metadata.UUID {
	for {
		var id metadata.UUID
		for i := range id {
			id[i] = byte(random.Uint32())
		}
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if metadata.FormatUUID(id)[0] != '-' {
			return id
		}
	}
}
