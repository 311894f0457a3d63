package storage

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"ottla/internal/vfs"
)

// MetaProperties is the file meta.properties of a log dir, version 1: a Java properties
// file that assigns the dir to one node of one cluster.
//
//	#
//	#Sat Nov 23 23:00:00 UTC 2024
//	cluster.id=7Ls0ZhjDTt6fZVqFtdYKHg
//	directory.id=T3d0Zrm1TXWkDAyLzJZ6zQ
//	node.id=1
//	version=1
type MetaProperties struct {
	ClusterID string
	NodeID    int32
	// DirectoryID is zero in a dir of Kafka before 3.7.
	DirectoryID [16]byte
}

const metaVersion = "1"

// ReadMetaProperties reads meta.properties of a dir. It returns fs.ErrNotExist if there is
// no such file.
func ReadMetaProperties(fsys vfs.FS, dir string) (MetaProperties, error) {
	name := filepath.Join(dir, metaName)
	data, err := vfs.ReadFile(fsys, name)
	if err != nil {
		return MetaProperties{}, err
	}
	p, err := decodeMeta(data)
	if err != nil {
		return MetaProperties{}, &CorruptError{File: name, Segment: -1, Offset: -1, Reason: err.Error()}
	}
	return p, nil
}

// WriteMetaProperties writes meta.properties, durably.
func WriteMetaProperties(fsys vfs.FS, dir string, p MetaProperties) error {
	return vfs.WriteFileAtomic(fsys, filepath.Join(dir, metaName), encodeMeta(p), 0o644)
}

func encodeMeta(p MetaProperties) []byte {
	return fmt.Appendf(nil, "#\ncluster.id=%s\ndirectory.id=%s\nnode.id=%d\nversion=%s\n", p.ClusterID, formatID(p.DirectoryID), p.NodeID, metaVersion)
}

func decodeMeta(data []byte) (MetaProperties, error) {
	values := properties(string(data))
	if version := values["version"]; version != metaVersion {
		return MetaProperties{}, fmt.Errorf("version %q is unknown; only 1 is supported", version)
	}
	node, err := strconv.ParseInt(values["node.id"], 10, 32)
	if err != nil || node < 0 {
		return MetaProperties{}, fmt.Errorf("node.id is %q", values["node.id"])
	}
	p := MetaProperties{ClusterID: values["cluster.id"], NodeID: int32(node)}
	if p.ClusterID == "" {
		return MetaProperties{}, errors.New("cluster.id is missing")
	}
	if text, ok := values["directory.id"]; ok {
		if p.DirectoryID, ok = parseID(text); !ok {
			return MetaProperties{}, fmt.Errorf("directory.id %q is not an id", text)
		}
	}
	return p, nil
}

// properties parses the part of Java's properties format that can occur here: comments,
// key=value, and a backslash before an escaped character.
func properties(text string) map[string]string {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		values[strings.TrimSpace(key)] = strings.ReplaceAll(strings.TrimSpace(value), `\`, "")
	}
	return values
}

// formatID returns Kafka's text form of a UUID: base64url without padding.
func formatID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func parseID(text string) (id [16]byte, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != len(id) {
		return id, false
	}
	return [16]byte(b), true
}

// partition.metadata assigns the folder of a partition to one topic (P14), so that a topic
// that was deleted and created again never has the old records:
//
//	version: 0
//	topic_id: Yh4fqhU8RvWXBg-9PpmIkQ
func encodePartitionMetadata(topicID [16]byte) []byte {
	return fmt.Appendf(nil, "version: 0\ntopic_id: %s", formatID(topicID))
}

func decodePartitionMetadata(data []byte) ([16]byte, error) {
	values := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		values[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	if version := values["version"]; version != "0" {
		return [16]byte{}, fmt.Errorf("version %q is unknown", version)
	}
	id, ok := parseID(values["topic_id"])
	if !ok || id == [16]byte{} {
		return [16]byte{}, fmt.Errorf("topic_id %q is not an id", values["topic_id"])
	}
	return id, nil
}

// ReadPartitionMetadata reads the topic id of a partition's folder from partition.metadata.
// It returns fs.ErrNotExist if there is no such file.
func ReadPartitionMetadata(fsys vfs.FS, folder string) ([16]byte, error) {
	name := filepath.Join(folder, partitionName)
	data, err := vfs.ReadFile(fsys, name)
	if err != nil {
		return [16]byte{}, err
	}
	id, err := decodePartitionMetadata(data)
	if err != nil {
		return id, &CorruptError{File: name, Segment: -1, Offset: -1, Reason: err.Error()}
	}
	return id, nil
}
