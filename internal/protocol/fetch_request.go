package protocol

import (
	"fmt"
	"math"
)

// FetchRequest is the body of Fetch, versions 4–18. Parse one with
// ParseFetchRequest and reuse it: its slices keep their capacity. Fields that a
// version does not have get the default of the schema, −1 unless said otherwise.
type FetchRequest struct {
	// ReplicaID is the follower that fetches, −1 for a consumer. From version 15
	// on ReplicaEpoch, its broker epoch, comes with it.
	ReplicaID    int32
	ReplicaEpoch int64
	// MaxWaitMillis is how long to wait for MinBytes; MaxBytes bounds the answer.
	MaxWaitMillis, MinBytes, MaxBytes int32
	// IsolationLevel is 0 for read_uncommitted, 1 for read_committed.
	IsolationLevel int8
	// SessionID and SessionEpoch name the fetch session (KIP-227, from version
	// 7); 0 is none.
	SessionID, SessionEpoch int32
	Topics                  []FetchTopic
	// Forgotten are the partitions that leave the session.
	Forgotten []ForgottenTopic
	// Rack is the consumer's (KIP-392, from version 11).
	Rack string
	// ClusterID is sent by replicas of the metadata log; nil else.
	ClusterID *string
}

// FetchTopic is a topic of a FetchRequest: by Name up to version 12, by ID from
// 13 on.
type FetchTopic struct {
	Name       string
	ID         [16]byte
	Partitions []FetchPartition
}

// FetchPartition is what is wanted of one partition.
type FetchPartition struct {
	Index              int32
	CurrentLeaderEpoch int32 // from version 9
	FetchOffset        int64
	LastFetchedEpoch   int32 // from version 12
	MaxBytes           int32
	LogStartOffset     int64 // of a follower, from version 5
	// HighWatermark is what a follower knows (KIP-1166), the largest int64 when
	// it does not say.
	HighWatermark int64
	// DirectoryID is the log dir of a replica of the metadata log (KIP-853).
	DirectoryID [16]byte
}

// ForgottenTopic is a topic of which a session forgets partitions.
type ForgottenTopic struct {
	Name       string
	ID         [16]byte
	Partitions []int32
}

// ParseFetchRequest parses body into into, whose former content is lost and
// whose slices are reused. A slice grows once, when the body is long enough for
// as many elements as are announced. Bytes behind the last field and unknown
// tagged fields are ignored. Errors wrap ErrMalformed. It takes what Decode
// takes, and nothing of the result aliases the body.
func ParseFetchRequest(version int16, body []byte, into *FetchRequest) error {
	p := fetchParser{reader: reader{src: body}, version: version, flexible: version >= shapes[fetch].flexible}
	p.request(into)
	if p.bad {
		into.Reset()
		return fmt.Errorf("%w: body of Fetch version %d", ErrMalformed, version)
	}
	return nil
}

// Reset forgets the content and keeps the memory for the next request, with the
// names of topics, which a consumer mostly sends again.
func (r *FetchRequest) Reset() {
	*r = FetchRequest{Topics: r.Topics[:0], Forgotten: r.Forgotten[:0], Rack: r.Rack}
}

type fetchParser struct {
	reader
	version  int16
	flexible bool
}

func (p *fetchParser) request(into *FetchRequest) {
	*into = FetchRequest{
		ReplicaID: -1, ReplicaEpoch: -1, SessionEpoch: -1,
		Topics: into.Topics[:0], Forgotten: into.Forgotten[:0], Rack: into.Rack,
	}
	if p.version <= 14 {
		into.ReplicaID = p.int32()
	}
	into.MaxWaitMillis, into.MinBytes, into.MaxBytes = p.int32(), p.int32(), p.int32()
	into.IsolationLevel = p.int8()
	if p.version >= 7 {
		into.SessionID, into.SessionEpoch = p.int32(), p.int32()
	}
	n := p.arrayLen(p.leastTopic())
	into.Topics = resize(into.Topics, n)
	for i := range into.Topics {
		p.topic(&into.Topics[i])
	}
	if p.version >= 7 {
		n := p.arrayLen(p.leastTopic())
		into.Forgotten = resize(into.Forgotten, n)
		for i := range into.Forgotten {
			p.forgotten(&into.Forgotten[i])
		}
	}
	if p.version >= 11 {
		p.text(&into.Rack)
	}
	for range p.tags() {
		switch number, r := p.tag(); number {
		case 0:
			id := ""
			r.text(&id)
			into.ClusterID = &id
			p.bad = r.bad
		case 1:
			id, epoch := r.int32(), r.int64()
			if p.version >= 15 {
				into.ReplicaID, into.ReplicaEpoch = id, epoch
			}
			r.noTags()
			p.bad = r.bad
		}
		if p.bad {
			return // they may be announced by the billion
		}
	}
}

func (p *fetchParser) topic(into *FetchTopic) {
	p.name(&into.Name, &into.ID)
	into.Partitions = resize(into.Partitions, p.arrayLen(4+8+4))
	for i := range into.Partitions {
		p.partition(&into.Partitions[i])
	}
	p.noTags()
}

func (p *fetchParser) partition(into *FetchPartition) {
	*into = FetchPartition{CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, LogStartOffset: -1, HighWatermark: math.MaxInt64}
	into.Index = p.int32()
	if p.version >= 9 {
		into.CurrentLeaderEpoch = p.int32()
	}
	into.FetchOffset = p.int64()
	if p.version >= 12 {
		into.LastFetchedEpoch = p.int32()
	}
	if p.version >= 5 {
		into.LogStartOffset = p.int64()
	}
	into.MaxBytes = p.int32()
	for range p.tags() {
		switch number, r := p.tag(); number {
		case 0:
			into.DirectoryID = r.uuid()
			p.bad = r.bad
		case 1:
			into.HighWatermark = r.int64()
			p.bad = r.bad
		}
		if p.bad {
			return
		}
	}
}

func (p *fetchParser) forgotten(into *ForgottenTopic) {
	p.name(&into.Name, &into.ID)
	into.Partitions = resize(into.Partitions, p.arrayLen(4))
	for i := range into.Partitions {
		into.Partitions[i] = p.int32()
	}
	p.noTags()
}

// name reads how the version names a topic.
func (p *fetchParser) name(name *string, id *[16]byte) {
	if p.version >= 13 {
		*name, *id = "", p.uuid()
		return
	}
	p.text(name)
	*id = [16]byte{}
}

// text reads a string that may not be null, and keeps the one that is there
// when it is the same.
func (p *fetchParser) text(into *string) {
	n := p.stringLen(p.flexible)
	if n < 0 {
		p.fail()
		n = 0
	}
	if s := p.span(n); *into != string(s) {
		*into = string(s)
	}
}

// leastTopic is the size of a topic without a name and without partitions.
func (p *fetchParser) leastTopic() int {
	switch {
	case p.version >= 13:
		return 16 + 1 + 1
	case p.flexible:
		return 1 + 1 + 1
	}
	return 2 + 4
}

// arrayLen reads the length of an array whose elements have at least so many
// bytes, and holds it against what is left: what is announced is allocated.
func (p *fetchParser) arrayLen(least int) int {
	n := p.bytesLen(p.flexible)
	if n < 0 || n > len(p.src)/least {
		p.fail()
		return 0
	}
	return n
}

// tags reads the number of the tagged fields that end a structure.
func (p *fetchParser) tags() int {
	if !p.flexible {
		return 0
	}
	return p.uvarint()
}

// tag reads a tagged field; its content is read by a parser of its own, whose
// failure is the caller's to see.
func (p *fetchParser) tag() (number int, content fetchParser) {
	number = p.uvarint()
	content = fetchParser{reader: reader{src: p.span(p.uvarint())}, version: p.version, flexible: true}
	if p.bad {
		return -1, content
	}
	return number, content
}

// noTags skips the tagged fields of a structure that knows none.
func (p *fetchParser) noTags() {
	if p.flexible {
		p.skipTags()
	}
}

// resize makes s n long; the elements keep what they held, for their slices to
// be used again.
func resize[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	larger := make([]T, n)
	copy(larger, s[:cap(s)])
	return larger
}

// Partitions is the number of partitions that the request names.
func (r *FetchRequest) Partitions() (n int) {
	for i := range r.Topics {
		n += len(r.Topics[i].Partitions)
	}
	return n
}
