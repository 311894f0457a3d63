package storage

import (
	"fmt"
	"strconv"
	"strings"
)

// The suffixes of a segment's files. Each name is the segment's base offset in
// 20 digits and one of these.
const (
	logSuffix      = ".log"
	offsetSuffix   = ".index"
	timeSuffix     = ".timeindex"
	txnSuffix      = ".txnindex"
	snapshotSuffix = ".snapshot" // producer state at that offset
	deletedSuffix  = ".deleted"  // after one of the above: removed at open
	cleanedSuffix  = ".cleaned"  // unfinished compaction: removed at open
	swapSuffix     = ".swap"     // finished compaction: renamed at open
	cutSuffix      = ".cut"      // bytes that recovery removed from a log, see recovery.cutTail
)

// The other files of a partition.
const (
	epochsName    = "leader-epoch-checkpoint"
	partitionName = "partition.metadata"
)

// The files of a log dir.
const (
	metaName        = "meta.properties"
	lockName        = ".lock"
	cleanName       = ".kafka_cleanshutdown"
	recoveryName    = "recovery-point-offset-checkpoint"
	startName       = "log-start-offset-checkpoint"
	replicationName = "replication-offset-checkpoint"
	cleanerName     = "cleaner-offset-checkpoint"
	flushedName     = ".ottla_flushed"        // flushed offset of each log, see dir.writeFlushed
	recentName      = ".ottla_flushed.recent" // the same, not durable
	reserveName     = ".ottla_reserve"        // reserved space for a full disk; Kafka reads only folders
)

// The suffixes of partition folders that are not in use.
const (
	deleteDirSuffix = "-delete" // topic-N.<32 hex digits>-delete: removed after a delay
	strayDirSuffix  = "-stray"  // a replica that is not in the metadata
)

// metadataTopic is the topic whose folder in the metadata log dir package raft owns.
const metadataTopic = "__cluster_metadata"

// maxNameBytes is the limit of a file name on the usual file systems.
const maxNameBytes = 255

// offsetDigits is the width of the offset in a segment's file names, so that
// they sort by offset.
const offsetDigits = 20

func segmentName(offset int64, suffix string) string {
	return fmt.Sprintf("%0*d%s", offsetDigits, offset, suffix)
}

// parseSegmentName splits the name of a segment's file; ok is false when it
// does not begin with 20 digits.
func parseSegmentName(name string) (offset int64, suffix string, ok bool) {
	if len(name) <= offsetDigits || name[offsetDigits] != '.' {
		return 0, "", false
	}
	for _, c := range []byte(name[:offsetDigits]) {
		if c < '0' || c > '9' {
			return 0, "", false
		}
	}
	offset, err := strconv.ParseInt(name[:offsetDigits], 10, 64)
	return offset, name[offsetDigits:], err == nil
}

// partitionDirName returns the folder name of a partition.
func partitionDirName(topic string, partition int32) string {
	return topic + "-" + strconv.Itoa(int(partition))
}

// parsePartitionDir splits the name of a partition's folder.
func parsePartitionDir(name string) (topic string, partition int32, ok bool) {
	dash := strings.LastIndexByte(name, '-')
	if dash <= 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(name[dash+1:], 10, 31)
	if err != nil || name[dash+1:] != strconv.FormatUint(n, 10) {
		return "", 0, false
	}
	return name[:dash], int32(n), true
}

// IsPartitionDir tells whether a folder of a log dir is that of a partition: in use,
// deleted, a stray, or a replica that is moved to another log dir.
func IsPartitionDir(name string) bool {
	if _, _, ok := parsePartitionDir(name); ok {
		return true
	}
	const futureDirSuffix = "-future"
	for _, suffix := range []string{deleteDirSuffix, strayDirSuffix, futureDirSuffix} {
		if strings.HasSuffix(name, suffix) && strings.Contains(name, ".") {
			return true
		}
	}
	return false
}

// retiredDirName returns the name of a partition's folder after its use:
// topic-N.<unique>suffix, with the topic cut to the maximum name length.
func retiredDirName(topic string, partition int32, unique [16]byte, suffix string) string {
	tail := fmt.Sprintf("-%d.%x%s", partition, unique, suffix)
	return topic[:min(len(topic), maxNameBytes-len(tail))] + tail
}
