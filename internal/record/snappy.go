package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/snappy"
)

// snappyHeader begins the framing of the Java library: a magic, its version
// and the oldest version that can read it.
var snappyHeader = []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")

const (
	snappyMagicBytes = 8
	snappyBlockBytes = 32 << 10
	// snappyMaxRatio is more than a block of snappy can expand: its best is a
	// copy of 64 bytes written in 3.
	snappyMaxRatio = 22
)

var errSnappy = errors.New("malformed snappy block")

// snappyBlocks decompresses snappy block by block: framed as the Java library
// does, or one bare block as librdkafka once sent. As in that library streams
// may follow each other, and up to three bytes behind the last block are ignored.
type snappyBlocks struct {
	rest   []byte
	framed bool
	buffer []byte
}

func (s *snappyBlocks) open(src []byte) {
	s.framed = len(src) >= len(snappyHeader) && bytes.Equal(src[:snappyMagicBytes], snappyHeader[:snappyMagicBytes])
	s.rest = src
	if s.framed {
		s.rest = src[len(snappyHeader):]
	}
}

// next returns the next block that is not empty, io.EOF after the last.
func (s *snappyBlocks) next() ([]byte, error) {
	for len(s.rest) > 0 {
		block := s.rest
		if s.framed {
			if len(block) < 4 {
				break
			}
			if bytes.Equal(block[:4], snappyHeader[:4]) {
				if err := s.nextStream(); err != nil {
					return nil, err
				}
				continue
			}
			length := binary.BigEndian.Uint32(block)
			if uint64(length) > uint64(len(block)-4) {
				return nil, errSnappy
			}
			block = block[4 : 4+length]
			s.rest = s.rest[4+length:]
		} else {
			s.rest = nil
		}
		piece, err := s.decode(block)
		if err != nil || len(piece) > 0 {
			return piece, err
		}
	}
	return nil, io.EOF
}

// nextStream skips the header of a stream behind another. One of another magic
// ends what is read, which must be all there is.
func (s *snappyBlocks) nextStream() error {
	header := s.rest[:min(len(s.rest), len(snappyHeader))]
	s.rest = s.rest[len(header):]
	switch {
	case len(header) < len(snappyHeader):
		return errSnappy
	case !bytes.Equal(header[:snappyMagicBytes], snappyHeader[:snappyMagicBytes]):
		if len(s.rest) >= 4 {
			return errSnappy
		}
	case int32(binary.BigEndian.Uint32(header[snappyMagicBytes:])) < 1:
		return errSnappy // a version that never was
	}
	return nil
}

// decode decompresses one block. The strict decoder refuses the extension of
// s2, which no other client could read.
func (s *snappyBlocks) decode(block []byte) ([]byte, error) {
	size, err := snappy.DecodedLen(block)
	if err != nil || size > snappyMaxRatio*len(block)+snappyMaxRatio {
		return nil, errSnappy
	}
	piece, err := snappy.DecodeStrict(s.buffer[:cap(s.buffer)], block)
	if err != nil {
		return nil, errSnappy
	}
	if cap(piece) <= maxBufferBytes {
		s.buffer = piece
	}
	return piece, nil
}
