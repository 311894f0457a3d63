package record

import (
	"io"
	"math"
)

// smallRecords is how many bytes of records are held to be compressed at once,
// which is faster than a stream, and its result is smaller.
const smallRecords = 1 << 20

// recompression makes a batch of the same records in another codec while they
// are decompressed. What it holds is at most smallRecords, the state of the
// codec, and the result twice.
type recompression struct {
	w      *worker
	target Compression
	rules  *Rules
	most   int // bytes of the result

	small  []byte         // all records, while they are few
	stream io.WriteCloser // writes to out; nil while they are few
	out    chunks
	err    error // the first mistake
}

func newRecompression(w *worker, target Compression, r *Rules) *recompression {
	most := math.MaxInt32
	if r.MaxBytes > 0 {
		most = r.MaxBytes
	}
	return &recompression{w: w, target: target, rules: r, most: most, out: chunks{most: most - HeaderLen}}
}

// write takes the next piece of the records.
func (c *recompression) write(piece []byte) error {
	if c.stream == nil && len(c.small)+len(piece) <= smallRecords {
		c.small = append(c.small, piece...)
		return nil
	}
	c.flow(c.small)
	c.small = nil
	c.flow(piece)
	return c.err
}

// whole takes all records, which lie in memory until batch has returned.
func (c *recompression) whole(records []byte) {
	if len(records) <= smallRecords {
		c.small = records
		return
	}
	c.flow(records)
}

// flow writes to the stream, which it begins.
func (c *recompression) flow(piece []byte) {
	if c.stream == nil && c.err == nil {
		c.stream, c.err = c.w.compressor(c.target, c.rules.Level, &c.out)
	}
	if c.err == nil {
		_, c.err = c.stream.Write(piece)
	}
}

// batch is the result, with the header of b but for length, codec and CRC.
func (c *recompression) batch(b Batch) (Batch, error) {
	var out []byte
	if c.stream == nil && c.err == nil {
		out = make([]byte, HeaderLen, HeaderLen+len(c.small)/2+512)
		out, c.err = c.w.compress(out, c.target, c.rules.Level, c.small)
	}
	if c.stream != nil && c.err == nil {
		c.err = c.stream.Close()
	}
	if c.stream != nil && c.err == nil {
		out = c.out.join(HeaderLen)
	}
	switch {
	case c.out.full:
		return nil, tooLarge(HeaderLen+c.out.size, c.rules)
	case c.err != nil:
		return nil, invalid(InvalidRecord, "the records cannot be compressed as %s: %v", c.target, c.err)
	case len(out) > c.most:
		return nil, tooLarge(len(out), c.rules)
	}
	copy(out, b[:HeaderLen])
	fresh := Batch(out)
	fresh.putInt32(atLength, int32(len(out)-OverheadLen))
	fresh.putInt16(atAttributes, fresh.Attributes()&^compressionMask|int16(c.target))
	fresh.setCRC()
	return fresh, nil
}

// chunkBytes is the size of a part of what is collected.
const chunkBytes = 1 << 20

// chunks collects what is written, up to most bytes, without ever moving it.
type chunks struct {
	most  int
	parts [][]byte
	size  int  // bytes that came, also the one that was too much
	full  bool // more than most came
}

// Write implements io.Writer; ErrTooLarge when that is too much.
func (c *chunks) Write(p []byte) (int, error) {
	c.size += len(p)
	if c.size > c.most {
		c.full = true
		return 0, ErrTooLarge
	}
	written := len(p)
	for len(p) > 0 {
		last := len(c.parts) - 1
		if last < 0 || len(c.parts[last]) == chunkBytes {
			c.parts = append(c.parts, make([]byte, 0, chunkBytes))
			last++
		}
		n := min(len(p), chunkBytes-len(c.parts[last]))
		c.parts[last] = append(c.parts[last], p[:n]...)
		p = p[n:]
	}
	return written, nil
}

// join is all that was written behind that many bytes; the chunks are gone then.
func (c *chunks) join(behind int) []byte {
	out := make([]byte, behind, behind+c.size)
	for i, part := range c.parts {
		out = append(out, part...)
		c.parts[i] = nil
	}
	return out
}

// drop gives up what was written.
func (c *chunks) drop() { c.parts = nil }
