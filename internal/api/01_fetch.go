package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/replica"
	"ottla/internal/storage"
)

// fetch answers Fetch, versions 4–18, of consumers.
//
//  1. The session (KIP-227), or the request alone, says which partitions are
//     wanted, in which order.
//  2. Each is read: a region of a log file, no bytes. At most MaxBytes in all,
//     but the first batch comes even if it is larger.
//  3. With less than MinBytes, the fetch watches its partitions until there is
//     enough or MaxWait is over. An error of a partition that exists ends the
//     wait, one that does not exist does not: a client may name a deleted topic
//     for long. When those who wait take too much memory it is answered at
//     once, with a throttle time.
//  4. The response leaves out what the client of a session knows already.
//
// Fetches of replicas (ReplicaID ≥ 0) are refused until there are any.
//
// Read on the topic.
func (h *Handler) fetch(ctx context.Context, r *Request) (Reply, error) {
	call := h.newFetch()
	call.version = r.Header.Version
	if err := protocol.ParseFetchRequest(call.version, r.Body, &call.req); err != nil {
		call.release()
		return Reply{}, err
	}
	// What is parsed holds the memory of the request until it is charged.
	if err := r.Meter.Charge(call.req.Partitions() * parsedPartition); err != nil {
		call.release()
		return Reply{}, err
	}
	if r.Consumed != nil {
		r.Consumed() // nothing of what was parsed aliases the body
	}
	call.isolation = isolationOf(call.req.IsolationLevel)
	if err := call.openSession(); err != nil {
		call.response.Error = code(err)
		return call.reply, nil
	}
	if err := r.Meter.Charge(len(call.session.partitions) * foundPartition); err != nil {
		call.release()
		return Reply{}, err
	}
	call.limits()
	call.resolve()
	call.readAll()
	if call.satisfied() || call.req.MaxWaitMillis <= 0 {
		return call.reply, nil
	}
	if !r.park(waitingRequest + len(call.found)*(parsedPartition+foundPartition+watchedPartition)) {
		call.response.ThrottleMillis = min(call.req.MaxWaitMillis, crowdedPause)
		return call.reply, nil
	}
	call.wait(ctx, time.Duration(call.req.MaxWaitMillis)*time.Millisecond)
	return call.reply, nil
}

const (
	// What a partition takes in a fetch, in bytes: in the request as it is parsed
	// and listed, as what is found of it with its place in the response, and while
	// it is watched.
	parsedPartition  = 192
	foundPartition   = 320
	watchedPartition = 128
	// crowdedPause is how long in ms a client is asked to pause whose fetch is not
	// let wait, because those who wait take too much memory.
	crowdedPause = 500
)

// fetchCall is one Fetch request under way. It is reused: whoever gets the
// Reply ends with release.
type fetchCall struct {
	h         *Handler
	reply     Reply // its encode and release, made once
	version   int16
	req       protocol.FetchRequest
	isolation replica.Isolation

	session     *fetchSession
	kept        bool // the session is in the cache, and the client's
	incremental bool
	// unnamed is the session of a request without one.
	unnamed fetchSession

	maxBytes, minBytes int
	found              []fetched // for each partition of the session
	present            int       // partitions that exist
	bytes              int       // of all records found
	failed             bool      // some partition has something to tell at once

	response protocol.FetchResponse
	// What the steps work with: of the request, and of the response.
	changed   []fetchPartition
	forgotten []fetchKey
	slots     []int
	regions   []Region
}

func (h *Handler) newFetch() *fetchCall {
	if call, ok := h.fetches.Get().(*fetchCall); ok {
		return call
	}
	call := &fetchCall{h: h}
	call.unnamed.index = map[fetchKey]*fetchPartition{}
	call.reply = Reply{Encode: call.encode, Release: call.release}
	return call
}

// mostReused is how many partitions a call may have had to be kept for the next
// request, which probably has few.
const mostReused = 1000

// release gives back the segments and the session, forgets the request and
// keeps the memory for the next one.
func (c *fetchCall) release() {
	for i := range c.found {
		c.found[i].read.Records.Release()
	}
	if c.kept {
		c.h.Sessions.release(c.session)
	}
	if cap(c.found) > mostReused || cap(c.changed) > mostReused {
		return
	}
	c.req.Reset()
	c.response.Reset()
	c.unnamed.reset()
	clear(c.found)
	clear(c.changed)
	clear(c.regions)
	c.session, c.kept, c.incremental = nil, false, false
	c.found, c.present, c.bytes, c.failed = c.found[:0], 0, 0, false
	c.changed, c.forgotten, c.slots, c.regions = c.changed[:0], c.forgotten[:0], c.slots[:0], c.regions[:0]
	c.h.fetches.Put(c)
}

// fetched is what was read of one partition.
type fetched struct {
	want      *fetchPartition
	partition *replica.Partition // nil with unresolved
	// unresolved is why the partition cannot be asked, absent that it does not
	// exist.
	unresolved error
	absent     bool
	read       replica.Read
	err        error
}

// openSession finds or makes the session of the request. One without a session
// goes through an unnamed one that nobody finds again.
func (c *fetchCall) openSession() error {
	epoch, id := c.req.SessionEpoch, c.req.SessionID
	byID := c.version >= 13
	c.list(byID)
	if c.version >= 7 && epoch != sessionInitial && epoch != sessionFinal {
		session, err := c.h.Sessions.resume(id, epoch, byID, c.changed, c.forgotten)
		if err != nil {
			return err
		}
		if session != nil {
			c.session, c.kept, c.incremental = session, true, true
			return nil
		}
	}
	if id != 0 {
		c.h.Sessions.end(id)
	}
	if c.version >= 7 && epoch == sessionInitial {
		c.session = c.h.Sessions.create(byID, c.changed)
		c.kept = c.session != nil
	}
	if c.session == nil {
		c.session = &c.unnamed
		c.session.borrow(c.changed)
	}
	return nil
}

// list notes the partitions that the request names.
func (c *fetchCall) list(byID bool) {
	for i := range c.req.Topics {
		t := &c.req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			c.changed = append(c.changed, fetchPartition{
				fetchKey: newFetchKey(t.ID, t.Name, p.Index, byID), offset: p.FetchOffset, maxBytes: p.MaxBytes,
				leaderEpoch: p.CurrentLeaderEpoch, lastFetchedEpoch: p.LastFetchedEpoch,
			})
		}
	}
	for i := range c.req.Forgotten {
		t := &c.req.Forgotten[i]
		for _, p := range t.Partitions {
			c.forgotten = append(c.forgotten, newFetchKey(t.ID, t.Name, p, byID))
		}
	}
}

func newFetchKey(id metadata.UUID, topic string, partition int32, byID bool) fetchKey {
	if byID {
		return fetchKey{id: id, partition: partition}
	}
	return fetchKey{topic: topic, partition: partition}
}

func (c *fetchCall) limits() {
	c.maxBytes = max(0, int(min(c.req.MaxBytes, c.h.Config().Network.FetchMaxBytes)))
	c.minBytes = max(0, min(int(c.req.MinBytes), c.maxBytes))
}

// resolve finds the partitions that are wanted.
func (c *fetchCall) resolve() {
	img := c.h.Controller.Image()
	c.found = slices.Grow(c.found[:0], len(c.session.partitions))[:len(c.session.partitions)]
	for i, want := range c.session.partitions {
		f := &c.found[i]
		f.want = want
		f.partition, f.unresolved = c.locate(want, img)
		f.absent = f.unresolved != nil && absent(f.unresolved)
		if !f.absent {
			c.present++
		}
		switch {
		case f.unresolved != nil:
		case c.req.ReplicaID >= 0:
			f.unresolved = errFollower
		case !validIsolation(c.req.IsolationLevel):
			f.unresolved = protocol.UnknownServerError // as Kafka answers
		}
	}
}

// absent tells whether a partition that was not found does not exist.
func absent(err error) bool {
	return errors.Is(err, protocol.UnknownTopicID) || errors.Is(err, replica.ErrUnknownTopicOrPartition)
}

// locate finds one partition, by its topic's id from version 13 on. A session
// knows the name of an id whose topic was deleted: the topic is then unknown,
// or another one that took the name.
func (c *fetchCall) locate(want *fetchPartition, img *metadata.Image) (*replica.Partition, error) {
	if c.version < 13 {
		return c.h.Replicas.Partition(want.topic, want.partition)
	}
	if want.known == "" {
		topic := img.TopicByID(want.id)
		if topic == nil {
			return nil, protocol.UnknownTopicID
		}
		want.known = topic.Name
	}
	p, err := c.h.Replicas.Partition(want.known, want.partition)
	if err == nil && p.TopicPartition().TopicID != want.id {
		return nil, storage.ErrTopicID
	}
	return p, err
}

// errFollower refuses replicas: NOT_LEADER_OR_FOLLOWER, without a leader.
var errFollower = fmt.Errorf("fetches of replicas are not served: %w", replica.ErrNotLeader)

func (c *fetchCall) readAll() {
	for i := range c.found {
		c.read(&c.found[i])
	}
}

// read reads one partition, again if it was read before.
func (c *fetchCall) read(f *fetched) {
	if f.unresolved != nil {
		f.err, c.failed = f.unresolved, c.failed || !f.absent
		return
	}
	c.bytes -= f.read.Records.Len()
	f.read.Records.Release()
	f.read, f.err = f.partition.Read(replica.ReadOptions{
		Offset: f.want.offset, MaxBytes: max(0, min(int(f.want.maxBytes), c.maxBytes-c.bytes)), MinOne: c.bytes == 0,
		Isolation: c.isolation, CurrentLeaderEpoch: c.epochOf(f.want), LastFetchedEpoch: f.want.lastFetchedEpoch,
	})
	c.bytes += f.read.Records.Len()
	if f.err == nil && (c.req.MaxBytes < 0 || f.want.maxBytes < 0) && f.want.offset < f.read.Limit(c.isolation) {
		f.err = protocol.UnknownServerError // as Kafka answers when there is something to read
	}
	if f.err != nil || f.read.Diverging != nil {
		c.failed = true
	}
}

// epochOf is the leader epoch that the client named; before version 9 it has
// none.
func (c *fetchCall) epochOf(want *fetchPartition) int32 {
	if c.version < 9 {
		return replica.NoEpoch
	}
	return want.leaderEpoch
}

// satisfied tells whether the answer may leave before its time.
func (c *fetchCall) satisfied() bool {
	return c.failed || c.bytes >= c.minBytes || c.present == 0
}

// wait reads again what changes, until that is enough or time is up.
func (c *fetchCall) wait(ctx context.Context, most time.Duration) {
	waiter := replica.NewWaiter()
	defer waiter.Close()
	for i := range c.found {
		if c.found[i].absent {
			continue
		}
		waiter.Watch(c.found[i].partition, i, c.isolation, c.found[i].read.Progress)
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	for !c.satisfied() {
		select {
		case <-waiter.C:
			for _, i := range waiter.Changed() {
				c.read(&c.found[i])
			}
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
