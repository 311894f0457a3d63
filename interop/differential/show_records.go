package differential

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// recordBatches prints the batches of a fetch response: header fields, and the
// CRC of the content, unless the broker's clock is in it.
func (p *printer) recordBatches(at string, raw []byte) {
	if len(raw) == 0 {
		p.add(at, "empty")
	}
	for i := 0; len(raw) > 0; i++ {
		path := fmt.Sprintf("%s[%d]", at, i)
		if len(raw) < 61 {
			p.add(path, fmt.Sprintf("partial, %d bytes", len(raw)))
			return
		}
		size := 12 + int(int32(binary.BigEndian.Uint32(raw[8:])))
		if size < 61 || size > len(raw) {
			p.add(path, fmt.Sprintf("partial, %d of %d bytes", len(raw), size))
			return
		}
		header, content := p.names.batch(raw[:size])
		p.add(path, header)
		p.add(path+".content", content)
		raw = raw[size:]
	}
}

// batch prints the header of a batch, and its size and CRC. Size and CRC differ
// if a broker has recompressed the records.
func (n *names) batch(raw []byte) (header, content string) {
	var b kmsg.RecordBatch
	if err := b.ReadFrom(raw); err != nil {
		return err.Error(), ""
	}
	crc := fmt.Sprintf("%08x", uint32(b.CRC))
	if crc32.Checksum(raw[21:], castagnoli) != uint32(b.CRC) {
		crc = "wrong"
	} else if n.integer("", b.MaxTimestamp) == "<now>" {
		crc = "right"
	}
	header = fmt.Sprintf("offset %d last +%d count %d epoch %d magic %d attributes %#x time %s..%s producer %s/%d seq %d",
		b.FirstOffset, b.LastOffsetDelta, b.NumRecords, b.PartitionLeaderEpoch, b.Magic, b.Attributes,
		n.integer("", b.FirstTimestamp), n.integer("", b.MaxTimestamp),
		n.integer("ProducerID", b.ProducerID), b.ProducerEpoch, b.FirstSequence)
	return header, fmt.Sprintf("size %d crc %s", len(raw), crc)
}
