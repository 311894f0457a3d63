package protocol

import "fmt"

// ProduceRequest is the body of Produce, versions 3–13. Parse one with
// ParseProduceRequest and reuse it: its slices keep their capacity.
type ProduceRequest struct {
	// TransactionalID is nil outside a transaction.
	TransactionalID *string
	// Acks is 0, 1 or −1 (all).
	Acks int16
	// TimeoutMillis is how long acks=all may wait.
	TimeoutMillis int32
	Topics        []ProduceTopic
}

// ProduceTopic is a topic of a ProduceRequest: by Name up to version 12, by ID
// from 13 on.
type ProduceTopic struct {
	Name       string
	ID         [16]byte
	Partitions []ProducePartition
}

// ProducePartition is what goes to one partition.
type ProducePartition struct {
	Index int32
	// Records aliases the body; nil when the field was null.
	Records []byte
}

// A partition that holds a batch takes more bytes than bytesPerPartition: the
// header of a batch alone has 61. The few that hold none are free.
const (
	bytesPerPartition = 64
	freePartitions    = 1000
)

// ParseProduceRequest parses body into into, whose former content is lost and
// whose slices are reused. Nothing is allocated by a length field: slices grow
// as topics and partitions turn up. Bytes behind the last field and tagged
// fields are ignored. Errors wrap ErrMalformed; one is a body with more
// partitions than it could hold batches for, which Kafka would take.
func ParseProduceRequest(version int16, body []byte, into *ProduceRequest) error {
	p := produceParser{
		reader: reader{src: body}, version: version, flexible: version >= shapes[produce].flexible,
		left: freePartitions + len(body)/bytesPerPartition,
	}
	p.request(into)
	switch {
	case p.left < 0:
		into.Reset()
		return fmt.Errorf("%w: Produce with too many empty partitions in %d bytes", ErrMalformed, len(body))
	case p.bad:
		into.Reset()
		return fmt.Errorf("%w: body of Produce version %d", ErrMalformed, version)
	}
	return nil
}

// Reset forgets the content, so that a kept request does not hold on to the
// buffer it was parsed from.
func (r *ProduceRequest) Reset() {
	topics := r.Topics[:cap(r.Topics)]
	for i := range topics {
		partitions := topics[i].Partitions[:cap(topics[i].Partitions)]
		clear(partitions)
		topics[i].Partitions = partitions[:0]
	}
	*r = ProduceRequest{Topics: topics[:0]}
}

const produce = 0

type produceParser struct {
	reader
	version  int16
	flexible bool
	left     int // topics and partitions that may still come
}

func (p *produceParser) request(into *ProduceRequest) {
	into.TransactionalID = nil
	if n := p.stringLen(p.flexible); n >= 0 {
		id := string(p.span(n))
		into.TransactionalID = &id
	}
	into.Acks = p.int16()
	into.TimeoutMillis = p.int32()
	into.Topics = into.Topics[:0]
	for range p.arrayLen() {
		if p.left--; p.bad || p.left < 0 {
			p.fail()
			return
		}
		into.Topics = extend(into.Topics)
		p.topic(&into.Topics[len(into.Topics)-1])
	}
	p.tags()
}

func (p *produceParser) topic(into *ProduceTopic) {
	if p.version >= 13 {
		into.Name, into.ID = "", p.uuid()
	} else {
		// A producer mostly names the same topics again.
		if name := p.span(p.notNull(p.stringLen(p.flexible))); into.Name != string(name) {
			into.Name = string(name)
		}
		into.ID = [16]byte{}
	}
	into.Partitions = into.Partitions[:0]
	for range p.arrayLen() {
		if p.left--; p.bad || p.left < 0 {
			p.fail()
			return
		}
		partition := ProducePartition{Index: p.int32()}
		if n := p.bytesLen(p.flexible); n >= 0 {
			partition.Records = p.span(n)
		}
		p.tags()
		into.Partitions = append(into.Partitions, partition)
	}
	p.tags()
}

func (p *produceParser) arrayLen() int { return p.notNull(p.bytesLen(p.flexible)) }

func (p *produceParser) notNull(n int) int {
	if n < 0 {
		p.fail()
		return 0
	}
	return n
}

func (p *produceParser) tags() {
	if p.flexible {
		p.skipTags()
	}
}

// extend makes s one longer; the element keeps what it held, for its slices to
// be used again.
func extend(s []ProduceTopic) []ProduceTopic {
	if len(s) < cap(s) {
		return s[:len(s)+1]
	}
	return append(s, ProduceTopic{})
}
