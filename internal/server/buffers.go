package server

import (
	"math/bits"
	"sync"
)

// buffers are the server's pooled byte slices. Each buffer has one owner at a
// time, who releases it once (X6: no response holds bytes of another request).
type buffers struct {
	classes [maxClass - minClass + 1]sync.Pool
	// poison overwrites released buffers, so that a test detects a use after the
	// release.
	poison bool
}

// Buffers come in powers of two, from 4 KiB to 4 MiB. Larger ones are not kept.
const (
	minClass = 12
	maxClass = 22
)

// buffer is a pooled byte slice.
type buffer struct {
	b []byte
	// released detects a second release.
	released bool
}

// classOf returns the size in bytes of the buffer for n bytes.
func classOf(n int) int {
	if n > 1<<maxClass {
		return n
	}
	return 1 << max(minClass, bits.Len(uint(max(n, 1)-1)))
}

// get returns a buffer of at least n bytes, with any content.
func (p *buffers) get(n int) *buffer {
	size := classOf(n)
	if size <= 1<<maxClass {
		if b, ok := p.classes[bits.Len(uint(size))-1-minClass].Get().(*buffer); ok {
			b.released = false
			return b
		}
	}
	return &buffer{b: make([]byte, size)}
}

// poisonByte is the content of a poisoned buffer.
const poisonByte = 0xdb

// put releases a buffer; nil does nothing.
func (p *buffers) put(b *buffer) {
	if b == nil {
		return
	}
	if p.poison {
		if b.released {
			panic("server: a buffer was released twice")
		}
		poison(b.b)
	}
	b.released = true
	if size := len(b.b); size <= 1<<maxClass {
		p.classes[bits.Len(uint(size))-1-minClass].Put(b)
	}
}

// poison overwrites bytes that must not be used any more.
func poison(b []byte) {
	for i := range b {
		b[i] = poisonByte
	}
}
