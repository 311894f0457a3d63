package record

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pierrec/lz4/v4"
)

// The beginning of an LZ4 frame: a magic number and a byte of flags.
const (
	lz4Magic       = 0x184D2204
	lz4FlagMask    = 0xe3 // version, independent blocks, reserved, dictionary
	lz4FlagAllowed = 0x60 // version 1, independent blocks, no dictionary

	lz4FlagBlockSum    = 1 << 4
	lz4FlagContentSize = 1 << 3
	lz4FlagContentSum  = 1 << 2

	lz4Stored = 1 << 31 // of a block's length: it is not compressed
)

var errLZ4Cut = errors.New("the LZ4 frame is cut short")

// lz4End ends a frame: no block follows, and a content checksum that nobody
// checks.
var lz4End [8]byte

// openLZ4 accepts what Kafka's own clients can read: one frame of independent
// blocks. The library would take more, and would go on with the bytes behind the
// frame, which Kafka ignores.
func (w *worker) openLZ4() error {
	blocks, tail, err := lz4Frame(w.in.body)
	if err != nil {
		return err
	}
	w.in = source{head: blocks, body: tail}
	if w.lz4Reader == nil {
		w.lz4Reader = lz4.NewReader(nil)
	}
	w.reader = w.lz4Reader
	w.lz4Reader.Reset(&w.in)
	return nil
}

// lz4Frame splits the frame at the beginning of src into its header with its
// blocks, and what the library wants to read behind them.
//
//	magic 4 bytes | flags | block size | content size 0 or 8 | checksum
//	length 4 bytes, block, checksum 0 or 4; …; length 0 | content checksum 0 or 4
func lz4Frame(src []byte) (blocks, tail []byte, err error) {
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != lz4Magic {
		return nil, nil, errors.New("no LZ4 frame begins here")
	}
	flags := src[4]
	if flags&lz4FlagMask != lz4FlagAllowed {
		return nil, nil, fmt.Errorf("the LZ4 frame has the flags %#x: version 1, independent blocks and no dictionary are supported", flags)
	}
	at, sum, end := 7, 0, 4
	if flags&lz4FlagContentSize != 0 {
		at += 8
	}
	if flags&lz4FlagBlockSum != 0 {
		sum = 4
	}
	if flags&lz4FlagContentSum != 0 {
		end += 4
	}
	for at+end <= len(src) {
		length := int(binary.LittleEndian.Uint32(src[at:]) &^ lz4Stored)
		if length == 0 {
			return src[:at], lz4End[:end], nil
		}
		if length > len(src)-at {
			break
		}
		at += 4 + length + sum
	}
	return nil, nil, errLZ4Cut
}
