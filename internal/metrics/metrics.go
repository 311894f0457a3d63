// Package metrics has the counters and histograms of a node's hot path. Adding
// to them takes no lock and no allocation, and they do not depend on their
// readers. Package monitoring exports them under Kafka's names. Window sums up
// values of the last minute and is used by one goroutine.
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
	// Topics counts over all topics, including deleted ones.
	Topics Topic
	// BytesIn and BytesOut are the bytes of requests and responses on all
	// listeners.
	BytesIn, BytesOut Counter
	// Flush is the duration of the flushers' rounds that made records durable.
	Flush Histogram

	// UncleanElections counts the partitions that got a leader that was not in
	// sync.
	UncleanElections Counter

	apis [maxAPI]atomic.Pointer[API]

	mu     sync.RWMutex
	topics map[string]*Topic
}

// maxAPI is above every api key.
const maxAPI = 128

// API counts the requests of one API.
type API struct {
	// Total is the time from the arrival of a request until its response was
	// handed to the connection: Kafka's TotalTimeMs.
	Total Histogram
	// Refused counts the requests that closed their connection.
	Refused Counter
}

// Topic counts the data written to and read from a topic (Kafka's
// BrokerTopicMetrics). A request counts once per partition in it.
type Topic struct {
	BytesIn, BytesOut              Counter // of record batches
	MessagesIn                     Counter
	ProduceRequests, FailedProduce Counter
	FetchRequests, FailedFetch     Counter
}

// API returns the counters of the API with a key.
func (m *Metrics) API(key int16) *API {
	if key < 0 || key >= maxAPI {
		key = maxAPI - 1
	}
	p := &m.apis[key]
	if a := p.Load(); a != nil {
		return a
	}
	p.CompareAndSwap(nil, new(API)) // of two concurrent ones, one is kept
	return p.Load()
}

// EachAPI calls f for the APIs that were used, by key.
func (m *Metrics) EachAPI(f func(key int16, a *API)) {
	for key := range m.apis {
		if a := m.apis[key].Load(); a != nil {
			f(int16(key), a)
		}
	}
}

// Topic returns the counters of a topic. Callers on the hot path should keep
// the result.
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

// Counter is a counter that only grows.
type Counter struct{ n atomic.Int64 }

// Add adds n, which must not be negative.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Load returns the sum.
func (c *Counter) Load() int64 { return c.n.Load() }
