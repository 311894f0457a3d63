package wire

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// OneRecord returns a batch of one record without a key, with the current time:
// too new for retention.
func OneRecord(value string) []byte {
	record := kmsg.Record{Value: []byte(value)}
	body := record.AppendTo(nil)[1:] // without the length, which is not known yet (one byte for 0)
	record.Length = int32(len(body))
	now := time.Now().UnixMilli()
	batch := kmsg.RecordBatch{
		FirstTimestamp: now, MaxTimestamp: now,
		PartitionLeaderEpoch: -1, Magic: 2, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1,
		Records: record.AppendTo(nil),
	}
	const beforeCRC, length = 21, 8
	raw := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[length:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[beforeCRC-4:], crc32.Checksum(raw[beforeCRC:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
