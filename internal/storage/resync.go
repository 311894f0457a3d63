package storage

import (
	"bytes"
	"errors"
	"math"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// resync finds the next sound batch behind damaged bytes:
//
//  1. Where the damaged batch ends, if its header says so and a sound batch is
//     there. So a batch whose content rotted is passed over as a whole, and
//     nothing within a record is taken for a batch.
//  2. Else at the first position at which everything fits: magic 2, a length
//     within the file, offsets that follow what came before and lie below what
//     comes behind, a leader epoch that does not go back, and at last the CRC.
//
// Step 2 reads each byte once; the checksums of what looks like a batch and is
// none may add checksFactor times the bytes. Beyond that it gives up, which is
// as if nothing sound followed.
//
// Rejected: to trust the offset index for where batches begin. It may have
// rotted too, and a scan has to follow anyway.
//
// What a producer put into a record can look like a batch, and be taken for one
// if the header of the batch around it is lost. The producer who may write there
// could have sent those records as well.
type resync struct {
	h    vfs.File
	size int64
	// from and below bound the offsets of the batch.
	from, below int64
	epoch       int32 // at least
	fits        func(offset int64) bool
	buf         []byte
}

// checksFactor bounds what resync spends on checksums.
const checksFactor = 8

// magicAt is where the magic lies in a batch's header.
const magicAt = 16

// isDamage tells what ends a walk because of what the bytes are from an error of
// the disk.
func isDamage(err error) bool { return errors.Is(err, errTorn) || errors.Is(err, errBroken) }

// after returns the first sound batch behind pos, where none begins; a nil
// header when there is none.
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

// plausible tells whether a header may be that of a batch at pos.
func (x *resync) plausible(b record.Batch, pos int64) bool {
	size := int64(b.Length()) + record.OverheadLen
	base, delta := b.BaseOffset(), b.LastOffsetDelta()
	return b.Magic() == record.Magic && size >= record.HeaderLen && size <= x.size-pos &&
		delta >= 0 && base >= x.from && base < x.below && base <= math.MaxInt64-int64(delta) && b.LastOffset() < x.below &&
		b.LeaderEpoch() >= x.epoch && x.fits(b.LastOffset())
}

// soundAt returns the header of the batch at pos if there is one.
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
