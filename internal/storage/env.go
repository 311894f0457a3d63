package storage

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"ottla/internal/metrics"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// env is the state that all logs of a Manager share.
type env struct {
	fs     vfs.FS
	now    func() time.Time
	log    *slog.Logger
	codecs *record.Codecs
	files  *files
	// durable is ottla.durability=fsync: a segment is durable before the next one
	// begins, and every append requests a flush.
	durable          bool
	producerExpiryMs atomic.Int64
	limit            producerLimit
	metrics          *metrics.Metrics
	scanBytes        int // the constant scanBytes, except in tests

	// Pools: buffers of searches and of recoveries, and lists of batches.
	search, scan, lists sync.Pool

	mu  sync.Mutex
	rng *rand.Rand
}

func newEnv(e *env, openFilesMax, openFilesLimit int, seed uint64) *env {
	if e.scanBytes == 0 {
		e.scanBytes = scanBytes
	}
	if openFilesMax == 0 {
		openFilesMax = DefaultOpenFiles
	}
	e.files = newFiles(e.fs, openFilesMax, openFilesLimit)
	e.limit.set(0)
	if e.metrics == nil {
		e.metrics = new(metrics.Metrics)
	}
	if e.now != nil {
		// Two runs of a node must generate different ids, also with the same seed.
		e.rng = rand.New(rand.NewPCG(seed, uint64(e.now().UnixNano())))
	}
	e.search.New = func() any { b := make([]byte, searchBytes); return &b }
	e.scan.New = func() any { b := make([]byte, e.scanBytes); return &b }
	e.lists.New = func() any { return new(batchList) }
	return e
}

func (e *env) nowMs() int64 { return e.now().UnixMilli() }

// newID returns a version 4 UUID. As in Kafka, its text form does not begin with a dash,
// because Kafka's tools would take it for an option.
func (e *env) newID() (id [16]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		for i := 0; i < len(id); i += 8 {
			v := e.rng.Uint64()
			for k := range 8 {
				id[i+k] = byte(v >> (8 * k))
			}
		}
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if formatID(id)[0] != '-' {
			return id
		}
	}
}

// jitterMs returns a random part of segment.jitter.ms, so that the segments of many
// partitions are not finished at the same time.
func (e *env) jitterMs(limit time.Duration) int64 {
	if limit < time.Millisecond {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rng.Int64N(limit.Milliseconds())
}
