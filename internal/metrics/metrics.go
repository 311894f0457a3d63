// Package metrics counts what a node does, on the hot path: counters and
// histograms that are added to without a lock and without an allocation, and
// know nothing of who reads them. Package monitoring gives them Kafka's names.
// Window is for what one goroutine counts of the last minute.
//
// Start reading at Metrics.
package metrics

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Metrics are the counters of a node. The zero value is ready to use; all
// methods may be called by several goroutines at once.
type Metrics struct {
	// Topics counts over all topics, those that were deleted among them.
	Topics Topic
	// BytesIn and BytesOut are the bytes of requests and responses on all
	// listeners.
	BytesIn, BytesOut Counter
	// Flush is how long the rounds of the flushers took that made records
	// durable.
	Flush Histogram

	// UncleanElections are the partitions that got a leader which was not in sync.
	UncleanElections Counter

	apis [maxAPI]atomic.Pointer[API]

	mu     sync.RWMutex
	topics map[string]*Topic
}

// maxAPI is above every api key.
const maxAPI = 128

// API counts the requests of one API.
type API struct {
	// Total is the time from when a request had arrived until its response was
	// handed to the connection: Kafka's TotalTimeMs.
	Total Histogram
	// Refused counts the requests that closed their connection.
	Refused Counter
}

// Topic counts what was written to and read from a topic (Kafka's
// BrokerTopicMetrics). A request counts once for each partition in it.
type Topic struct {
	BytesIn, BytesOut              Counter // of record batches
	MessagesIn                     Counter
	ProduceRequests, FailedProduce Counter
	FetchRequests, FailedFetch     Counter
}

// API returns the counters of an API by its key.
func (m *Metrics) API(key int16) *API {
	if key < 0 || key >= maxAPI {
		key = maxAPI - 1
	}
	p := &m.apis[key]
	if a := p.Load(); a != nil {
		return a
	}
	p.CompareAndSwap(nil, new(API)) // of two at once, one is kept
	return p.Load()
}

// EachAPI calls f for the APIs that were asked for, by key.
func (m *Metrics) EachAPI(f func(key int16, a *API)) {
	for key := range m.apis {
		if a := m.apis[key].Load(); a != nil {
			f(int16(key), a)
		}
	}
}

// Topic returns the counters of a topic. Whoever counts often keeps them.
func (m *Metrics) Topic(name string) *Topic {
	m.mu.RLock()
	t := m.topics[name]
	m.mu.RUnlock()
	if t != nil {
		return t
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t = m.topics[name]; t == nil {
		if m.topics == nil {
			m.topics = map[string]*Topic{}
		}
		t = new(Topic)
		m.topics[name] = t
	}
	return t
}

// ForgetTopic drops the counters of a topic that was deleted.
func (m *Metrics) ForgetTopic(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.topics, name)
}

// EachTopic calls f for the topics that have counters, sorted by name.
func (m *Metrics) EachTopic(f func(name string, t *Topic)) {
	m.mu.RLock()
	topics := maps.Clone(m.topics)
	m.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		f(name, topics[name])
	}
}

// Counter only grows.
type Counter struct{ n atomic.Int64 }

// Add adds n, which is not negative.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Load is the sum.
func (c *Counter) Load() int64 { return c.n.Load() }
