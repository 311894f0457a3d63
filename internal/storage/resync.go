package storage

import (
	"bytes"
	"errors"
	"math"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// resync finds the next valid batch after damaged bytes:
//
//  1. At the end of the damaged batch, if its header is plausible and a valid
//     batch is there. So a batch with damaged content is skipped as a whole, and
//     no bytes within a record are taken for a batch.
//  2. Otherwise at the first position where everything matches: magic 2, a length
//     within the file, offsets after the previous batch and below the next known
//     one, a leader epoch that does not decrease, and finally the CRC.
//
// Step 2 reads each byte once. CRC checks of bytes that only look like a batch may
// add checksFactor times the bytes. Above that it gives up, as if no valid batch
// followed.
//
// Rejected: taking the positions of batches from the offset index. The index may
// also be damaged, and a scan is necessary anyway.
//
// The content of a record may look like a batch. If the header of the enclosing
// batch is lost, it may be taken for one. But the producer of that record could
// also have sent these records directly.
type resync struct {
	h    vfs.File
	size int64
	// from and below limit the offsets of the batch.
	from, below int64
	epoch       int32 // minimum leader epoch
	fits        func(offset int64) bool
	buf         []byte
}

// checksFactor limits the bytes that resync reads for CRC checks.
const checksFactor = 8

// magicAt is the position of the magic byte in a batch header.
const magicAt = 16

// isDamage tells whether a scan ended because of invalid bytes, and not because of
// a disk error.
func isDamage(err error) bool { return errors.Is(err, errTorn) || errors.Is(err, errBroken) }

// after returns the position and header of the first valid batch after pos, where no
// valid batch begins. The header is nil if there is none.
func (x *resync) after(pos int64) (int64, record.Batch, error) {
	crc := make([]byte, len(x.buf))
	damaged := newScanner(x.h, pos, x.size, crc)
	if damaged.next() {
		if at := pos + damaged.size; at < x.size {
			if b, err := x.soundAt(at, crc); b != nil || err != nil {
				return at, b, err
			}
		}
	}
	budget := checksFactor*(x.size-pos) + int64(len(crc))
	for at := pos + 1; at+record.HeaderLen <= x.size; {
		n := int(min(int64(len(x.buf)), x.size-at))
		window := x.buf[:n]
		if err := readFull(x.h, window, at); err != nil {
			return 0, nil, err
		}
		last := n - record.HeaderLen
		for i := 0; i <= last; i++ {
			skip := bytes.IndexByte(window[i+magicAt:last+magicAt+1], record.Magic)
			if skip < 0 {
				break
			}
			i += skip
			size := int64(record.Batch(window[i:i+record.HeaderLen]).Length()) + record.OverheadLen
			if !x.plausible(record.Batch(window[i:i+record.HeaderLen]), at+int64(i)) {
				continue
			}
			if budget -= size; budget < 0 {
				return 0, nil, nil
			}
			if b, err := x.soundAt(at+int64(i), crc); b != nil || err != nil {
				return at + int64(i), b, err
			}
		}
		at += int64(last) + 1
	}
	return 0, nil, nil
}

// plausible tells whether a header can be that of a batch at pos.
func (x *resync) plausible(b record.Batch, pos int64) bool {
	size := int64(b.Length()) + record.OverheadLen
	base, delta := b.BaseOffset(), b.LastOffsetDelta()
	return b.Magic() == record.Magic && size >= record.HeaderLen && size <= x.size-pos &&
		delta >= 0 && base >= x.from && base < x.below && base <= math.MaxInt64-int64(delta) && b.LastOffset() < x.below &&
		b.LeaderEpoch() >= x.epoch && x.fits(b.LastOffset())
}

// soundAt returns the header of the batch at pos if the batch is valid.
func (x *resync) soundAt(pos int64, buf []byte) (record.Batch, error) {
	scan := newScanner(x.h, pos, x.size, buf)
	if !scan.next() {
		if isDamage(scan.err) {
			return nil, nil
		}
		return nil, scan.err
	}
	if !x.plausible(scan.header, pos) {
		return nil, nil
	}
	switch err := scan.checkCRC(); {
	case err == nil:
		return bytes.Clone(scan.header), nil
	case isInvalid(err) || isDamage(err):
		return nil, nil
	default:
		return nil, err
	}
}
