package storage

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ottla/internal/vfs"
)

// A checkpoint is a small text file, which is replaced as a whole (written to a
// temporary file, made durable, renamed):
//
//	0                  version
//	2                  number of lines
//	orders 0 1500      topic, partition, offset: in those of a log dir
//	orders 1 1497
//
// In leader-epoch-checkpoint a line has a leader epoch and its start offset.
// recovery-point-offset-checkpoint has the offset below which a log is durable.
// log-start-offset-checkpoint has its start, if it is not the base of the first
// segment. replication-offset-checkpoint has its high watermark.
// cleaner-offset-checkpoint has the offset below which it is compacted, if it was ever
// compacted.
const checkpointVersion = "0"

// partitionKey identifies a partition within a node.
type partitionKey struct {
	topic     string
	partition int32
}

// decodeCheckpoint splits a checkpoint into lines of n fields each. An empty file, which
// Kafka creates, has no lines.
func decodeCheckpoint(data []byte, n int, line func(fields []string) error) error {
	lines := strings.Split(strings.TrimRight(string(data), "\r\n"), "\n")
	if len(data) == 0 || len(lines) < 2 && strings.TrimSpace(lines[0]) == checkpointVersion {
		return nil
	}
	if version := strings.TrimSpace(lines[0]); version != checkpointVersion {
		return fmt.Errorf("version %q of a checkpoint is unknown", version)
	}
	count, err := strconv.Atoi(strings.TrimSpace(lines[1]))
	if err != nil || count != len(lines)-2 {
		return fmt.Errorf("a checkpoint announces %q lines but has %d", lines[1], len(lines)-2)
	}
	for i, text := range lines[2:] {
		fields := strings.Fields(text)
		if len(fields) != n {
			return fmt.Errorf("line %d of a checkpoint has %d fields, not %d", i+3, len(fields), n)
		}
		if err := line(fields); err != nil {
			return fmt.Errorf("line %d of a checkpoint: %w", i+3, err)
		}
	}
	return nil
}

// encodeCheckpoint writes count lines.
func encodeCheckpoint(count int, line func(b *bytes.Buffer, i int)) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n%d\n", checkpointVersion, count)
	for i := range count {
		line(&b, i)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func decodeEpochs(data []byte) ([]epochEntry, error) {
	var list []epochEntry
	err := decodeCheckpoint(data, 2, func(fields []string) error {
		epoch, err1 := strconv.ParseInt(fields[0], 10, 32)
		start, err2 := strconv.ParseInt(fields[1], 10, 64)
		if epoch < 0 || start < 0 {
			return fmt.Errorf("epoch %s begins at %s", fields[0], fields[1])
		}
		list = append(list, epochEntry{int32(epoch), start})
		return errors.Join(err1, err2)
	})
	return list, err
}

func encodeEpochs(list []epochEntry) []byte {
	return encodeCheckpoint(len(list), func(b *bytes.Buffer, i int) {
		fmt.Fprintf(b, "%d %d", list[i].epoch, list[i].start)
	})
}

// offsetLine is one line of a log dir's checkpoint.
type offsetLine struct {
	partitionKey
	offset int64
}

func decodeOffsets(data []byte) (map[partitionKey]int64, error) {
	offsets := make(map[partitionKey]int64)
	err := decodeCheckpoint(data, 3, func(fields []string) error {
		partition, err1 := strconv.ParseInt(fields[1], 10, 32)
		offset, err2 := strconv.ParseInt(fields[2], 10, 64)
		key := partitionKey{fields[0], int32(partition)}
		if _, twice := offsets[key]; twice {
			return fmt.Errorf("%s-%d occurs twice", key.topic, key.partition)
		}
		offsets[key] = offset
		return errors.Join(err1, err2)
	})
	return offsets, err
}

func encodeOffsets(list []offsetLine) []byte {
	return encodeCheckpoint(len(list), func(b *bytes.Buffer, i int) {
		fmt.Fprintf(b, "%s %d %d", list[i].topic, list[i].partition, list[i].offset)
	})
}

// readOffsets reads a checkpoint of a log dir. A missing file means no lines.
func readOffsets(fsys vfs.FS, name string) (map[partitionKey]int64, error) {
	data, err := vfs.ReadFile(fsys, name)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	offsets, err := decodeOffsets(data)
	if err != nil {
		return nil, &CorruptError{File: name, Segment: -1, Offset: -1, Reason: err.Error()}
	}
	return offsets, nil
}
