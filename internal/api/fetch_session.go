package api

import (
	"math/rand/v2"
	"sync"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// The special epochs of a fetch session (KIP-227).
const (
	sessionInitial int32 = 0  // begin a session
	sessionFinal   int32 = -1 // no session, or the end of one
)

// sessionStale is how long an unused session is safe from being replaced by
// another when all slots are taken, and a fresh one from a larger.
const sessionStale = 2 * time.Minute

// fetchKey names a partition in a fetch: by the topic's id from version 13,
// by its name before. The other field is empty.
type fetchKey struct {
	id        metadata.UUID
	topic     string
	partition int32
}

// fetchPartition is what a fetch asks of one partition. In a session it is
// remembered from request to request, with what the client was told last.
type fetchPartition struct {
	fetchKey
	offset           int64 // the first that is wanted
	maxBytes         int32
	leaderEpoch      int32 // that the client believes in; -1: it does not say
	lastFetchedEpoch int32
	known            string // the name of the topic, once its id was found

	toldHighWatermark, toldLogStart int64 // -1: nothing yet
}

// news tells whether the client of a session must hear of a partition, and
// remembers what it hears: records, an error, or offsets that moved.
func (p *fetchPartition) news(highWatermark, logStart int64, records int, failed bool) bool {
	moved := p.toldHighWatermark != highWatermark || p.toldLogStart != logStart
	p.toldHighWatermark, p.toldLogStart = highWatermark, logStart
	if failed {
		// When the error is gone the client must hear of the partition again.
		p.toldHighWatermark = -1
	}
	return moved || failed || records > 0
}

// fetchSession is a client's set of partitions, kept by the broker so that the
// client sends only what changed (KIP-227).
type fetchSession struct {
	id      int32
	byID    bool // partitions are named by topic id
	created time.Time

	// busy is held by the request that is being answered.
	busy sync.Mutex
	// The rest is guarded by busy.
	epoch      int32
	partitions []*fetchPartition // in the order in which they are read
	index      map[fetchKey]*fetchPartition
	last       []*fetchPartition // what rotate works with

	used time.Time // guarded by the cache
	size int       // guarded by the cache
}

// update applies a request's changes: partitions to add or change, and those
// to forget.
func (s *fetchSession) update(changed []fetchPartition, forgotten []fetchKey) {
	for i := range changed {
		c := &changed[i]
		if p := s.index[c.fetchKey]; p != nil {
			p.offset, p.maxBytes = c.offset, c.maxBytes
			p.leaderEpoch, p.lastFetchedEpoch = c.leaderEpoch, c.lastFetchedEpoch
			continue
		}
		p := *c
		p.toldHighWatermark, p.toldLogStart = -1, -1
		s.index[c.fetchKey] = &p
		s.partitions = append(s.partitions, &p)
	}
	if len(forgotten) == 0 {
		return
	}
	for _, key := range forgotten {
		delete(s.index, key)
	}
	kept := s.partitions[:0]
	for _, p := range s.partitions {
		if s.index[p.fetchKey] == p {
			kept = append(kept, p)
		}
	}
	clear(s.partitions[len(kept):])
	s.partitions = kept
}

// borrow is update for the session of one request, which is over before
// partitions change.
func (s *fetchSession) borrow(partitions []fetchPartition) {
	for i := range partitions {
		c := &partitions[i]
		if p := s.index[c.fetchKey]; p != nil {
			*p = *c // the last word counts
			continue
		}
		s.index[c.fetchKey] = c
		s.partitions = append(s.partitions, c)
	}
}

// reset empties the session of one request.
func (s *fetchSession) reset() {
	clear(s.index)
	clear(s.partitions)
	s.partitions = s.partitions[:0]
}

// rotate moves the partitions that gave records behind those that did not, so
// that a full response does not starve the same ones for ever.
func (s *fetchSession) rotate(gave func(*fetchPartition) bool) {
	last, kept := s.last[:0], s.partitions[:0]
	for _, p := range s.partitions {
		if gave(p) {
			last = append(last, p)
		} else {
			kept = append(kept, p)
		}
	}
	s.partitions = append(kept, last...)
	clear(last)
	s.last = last
}

// FetchSessions holds the sessions of a broker, at most
// max.incremental.fetch.session.cache.slots.
//
// When all slots are taken, a new session gets one in this order: that of the
// session unused for longest, if it is stale; else that of the smallest
// session that is not fresh, if it is smaller than the new one; else none, and
// the client goes on with full fetches. So a herd of small clients does not
// drive out the large ones, for which sessions save most.
//
// The partitions of all sessions are bounded too, since a session may grow with
// each request, by partitions that do not exist. One that would go beyond ends,
// and its client begins anew.
type FetchSessions struct {
	now    func() time.Time
	random *rand.Rand // guarded by mu
	max    func() int
	most   int // partitions of all sessions

	mu         sync.Mutex
	sessions   map[int32]*fetchSession
	partitions int // of all sessions
}

// mostSessionPartitions are about 200 MB.
const mostSessionPartitions = 1 << 20

// sessionPartition is what a partition takes in a session, in bytes.
const sessionPartition = 256

// NewFetchSessions returns an empty cache. memory bounds what the partitions of all
// sessions take, in bytes; 0 is mostSessionPartitions. most is asked for the number
// of slots whenever a session is made.
func NewFetchSessions(now func() time.Time, random *rand.Rand, memory int64, most func() int) *FetchSessions {
	partitions := mostSessionPartitions
	if memory > 0 {
		partitions = int(min(memory/sessionPartition, mostSessionPartitions))
	}
	return &FetchSessions{now: now, random: random, max: most, most: partitions, sessions: map[int32]*fetchSession{}}
}

// create makes a session of a full fetch; nil when there is no slot for it.
// The caller holds it until it calls release.
func (c *FetchSessions) create(byID bool, partitions []fetchPartition) *fetchSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	full := len(c.sessions) >= c.max() || c.partitions+len(partitions) > c.most
	if full && !c.evict(now, len(partitions)) || c.partitions+len(partitions) > c.most {
		return nil
	}
	s := &fetchSession{id: c.newID(), byID: byID, created: now, used: now, epoch: 1, index: make(map[fetchKey]*fetchPartition, len(partitions))}
	s.busy.Lock()
	s.update(partitions, nil)
	c.sessions[s.id] = s
	c.resize(s)
	return s
}

// resize counts the partitions of a session that is there.
func (c *FetchSessions) resize(s *fetchSession) {
	c.partitions += len(s.partitions) - s.size
	s.size = len(s.partitions)
}

// drop takes a session out; whoever holds it goes on with it.
func (c *FetchSessions) drop(s *fetchSession) {
	delete(c.sessions, s.id)
	c.partitions -= s.size
}

func (c *FetchSessions) newID() int32 {
	for {
		id := c.random.Int32()
		if _, taken := c.sessions[id]; id != 0 && !taken {
			return id
		}
	}
}

// evict frees a slot for a session of size partitions, if one may go.
func (c *FetchSessions) evict(now time.Time, size int) bool {
	var oldest, smallest *fetchSession
	for _, s := range c.sessions {
		if oldest == nil || s.used.Before(oldest.used) {
			oldest = s
		}
		if now.Sub(s.created) > sessionStale && (smallest == nil || s.size < smallest.size) {
			smallest = s
		}
	}
	switch {
	case oldest != nil && now.Sub(oldest.used) > sessionStale:
		c.drop(oldest)
	case smallest != nil && smallest.size < size:
		c.drop(smallest)
	default:
		return false
	}
	return true
}

// resume finds the session of an incremental fetch and applies its changes.
// The caller holds it until it calls release. A session that a request left
// without partitions ends: the result is then nil without an error. One for
// which there is no room any more ends, too.
func (c *FetchSessions) resume(id, epoch int32, byID bool, changed []fetchPartition, forgotten []fetchKey) (*fetchSession, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[id]
	if s == nil {
		return nil, protocol.FetchSessionIDNotFound
	}
	// A session in use has not answered yet, so that nobody can know the next
	// epoch.
	if !s.busy.TryLock() {
		return nil, protocol.InvalidFetchSessionEpoch
	}
	if err := s.check(epoch, byID); err != nil {
		s.busy.Unlock()
		return nil, err
	}
	s.update(changed, forgotten)
	before := s.size
	c.resize(s)
	switch {
	case s.size == 0:
		c.drop(s)
		s.busy.Unlock()
		return nil, nil
	case s.size > before && c.partitions > c.most:
		c.drop(s)
		s.busy.Unlock()
		return nil, protocol.FetchSessionIDNotFound
	}
	s.used = c.now()
	s.epoch = nextSessionEpoch(s.epoch)
	return s, nil
}

func (s *fetchSession) check(epoch int32, byID bool) error {
	if s.epoch != epoch {
		return protocol.InvalidFetchSessionEpoch
	}
	if s.byID != byID {
		return protocol.FetchSessionTopicIDError
	}
	return nil
}

// nextSessionEpoch counts from 1 to 2³¹−1 and then again from 1.
func nextSessionEpoch(epoch int32) int32 {
	if epoch == 1<<31-1 {
		return 1
	}
	return epoch + 1
}

// release gives a session back after its answer was made.
func (c *FetchSessions) release(s *fetchSession) { s.busy.Unlock() }

// end drops a session; an unknown one is no error.
func (c *FetchSessions) end(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[id]; s != nil {
		c.drop(s)
	}
}
