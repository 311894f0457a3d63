package record

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// MaxDecompressedBytes bounds what one batch may decompress to: 128 times the
// default of max.message.bytes. Kafka has no such bound; a batch of 1 MiB can
// hold gigabytes of zeros, and every consumer would have to swallow them.
const MaxDecompressedBytes = 128 << 20

// The sizes of the buffers that are kept for reuse.
const (
	pieceBytes     = 64 << 10
	maxBufferBytes = 1 << 20
)

// Codecs compresses and decompresses, and checks batches. It owns the state of
// the codecs, which is large: as many workers as there are processors exist,
// made when first needed, and a call waits for one. A worker is never held
// while foreign code runs, so that calls cannot wait for each other in a ring.
//
// One Codecs belongs to one broker, not to the package: objects that own
// channels must not be shared by two simulations. It is safe for concurrent
// use.
//
// Rejected: a sync.Pool of decoders. It is emptied by every second garbage
// collection, and a decoder of zstd is several MiB to make again; and it has
// no upper bound, so that a thousand connections hold a thousand windows.
type Codecs struct {
	slots   chan struct{}
	mu      sync.Mutex
	idle    []*worker // the last used first: few are warm under little load
	buffers sync.Pool // of *[]byte
}

// NewCodecs returns codecs without any state yet.
func NewCodecs() *Codecs {
	return &Codecs{
		slots:   make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
		buffers: sync.Pool{New: func() any { return new([]byte) }},
	}
}

// acquire waits for a worker; release gives it back.
func (c *Codecs) acquire() *worker {
	c.slots <- struct{}{}
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.idle) - 1
	if last < 0 {
		return new(worker)
	}
	w := c.idle[last]
	c.idle = c.idle[:last]
	return w
}

func (c *Codecs) release(w *worker) {
	w.close()
	c.mu.Lock()
	c.idle = append(c.idle, w)
	c.mu.Unlock()
	<-c.slots
}

// buffer returns an empty buffer of any capacity; recycle gives it back.
func (c *Codecs) buffer() *[]byte { return c.buffers.Get().(*[]byte) }

func (c *Codecs) recycle(buffer *[]byte) {
	if cap(*buffer) <= maxBufferBytes {
		c.buffers.Put(buffer)
	}
}

// Decompress appends what src decompresses to to dst. ErrTooLarge is returned
// when that exceeds maxBytes; little more than that is ever allocated. Any
// other error means that src is not of that codec.
func (c *Codecs) Decompress(dst []byte, codec Compression, src []byte, maxBytes int) ([]byte, error) {
	if codec == None {
		if len(src) > maxBytes {
			return dst, ErrTooLarge
		}
		return append(dst, src...), nil
	}
	w := c.acquire()
	defer c.release(w)
	if err := w.open(codec, src); err != nil {
		return dst, err
	}
	start := len(dst)
	for {
		piece, err := w.next()
		switch {
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst, err
		case len(dst)-start+len(piece) > maxBytes:
			return dst, ErrTooLarge
		}
		dst = append(dst, piece...)
	}
}

// Compress appends src, compressed, to dst. The level is in the codec's own
// scale as in the keys compression.gzip.level, compression.lz4.level and
// compression.zstd.level; snappy has none.
func (c *Codecs) Compress(dst []byte, codec Compression, level int, src []byte) ([]byte, error) {
	if codec == None {
		return append(dst, src...), nil
	}
	if !codec.Valid() {
		return dst, fmt.Errorf("no compression type has the id %d", codec)
	}
	w := c.acquire()
	defer c.release(w)
	return w.compress(dst, codec, level, src)
}
