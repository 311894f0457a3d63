package record

import (
	"encoding/binary"
	"errors"
	"io"
)

// Next splits the first batch off buf; the batch aliases buf. It looks at
// length and magic only: the CRC is checked by CheckCRC or Validate.
//
// At the end of buf the error is io.EOF. When buf ends inside the batch it is
// ErrTruncated. A length or magic that no batch can have is an *InvalidError
// of kind Corrupt, or InvalidRecord for the old magics 0 and 1, which Kafka 4
// refuses as such.
func Next(buf []byte) (Batch, []byte, error) {
	if len(buf) == 0 {
		return nil, nil, io.EOF
	}
	if len(buf) < atMagic+1 {
		return nil, buf, ErrTruncated
	}
	size := int64(int32(binary.BigEndian.Uint32(buf[atLength:]))) + OverheadLen
	if err := checkMagic(int8(buf[atMagic])); err != nil {
		return nil, buf, err
	}
	if size < HeaderLen {
		return nil, buf, corrupt("the record batch is corrupt: a size of %d bytes is less than its header's %d", size, HeaderLen)
	}
	if size > int64(len(buf)) {
		return nil, buf, ErrTruncated
	}
	return Batch(buf[:size:size]), buf[size:], nil
}

func checkMagic(magic int8) error {
	switch magic {
	case Magic:
		return nil
	case 0, 1:
		return invalid(InvalidRecord, "the record batch has magic %d; only magic 2 is accepted", magic)
	}
	return corrupt("the record batch is corrupt: no magic %d exists", magic)
}

// Single returns the one batch that a client may send for a partition. Its
// errors are *InvalidError as Next's; nothing, a cut batch, a second batch and
// bytes after the first are InvalidRecord.
func Single(records []byte) (Batch, error) {
	batch, rest, err := Next(records)
	switch {
	case errors.Is(err, io.EOF):
		return nil, invalid(InvalidRecord, "a partition of a produce request needs one record batch, but there is none")
	case errors.Is(err, ErrTruncated):
		return nil, invalid(InvalidRecord, "a partition of a produce request needs one record batch, but the bytes end inside it")
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, invalid(InvalidRecord, "a partition of a produce request holds one record batch, but %d bytes follow it", len(rest))
	}
	return batch, nil
}
