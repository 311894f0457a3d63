package controller

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// assignment is a partition's replicas and the log dir of each.
type assignment struct {
	replicas    []int32
	directories []metadata.UUID
}

// assign gives each replica the log dir that Kafka gives it: the broker's only
// one, or DirUnassigned, which lets a broker with several choose.
func (v *view) assign(replicas []int32) assignment {
	a := assignment{replicas: slices.Clone(replicas)}
	for _, id := range replicas {
		a.directories = append(a.directories, v.defaultDir(id))
	}
	return a
}

func (v *view) defaultDir(broker int32) metadata.UUID {
	b := v.img.Broker(broker)
	switch {
	case b == nil:
		return metadata.DirUnassigned
	case len(b.LogDirs) == 0:
		return metadata.DirMigrating
	case len(b.LogDirs) == 1:
		return b.LogDirs[0]
	}
	return metadata.DirUnassigned
}

// place spreads new partitions over the brokers, as Kafka's striped placer does:
//
//  1. brokers that shut down or whose log dirs are all cordoned take no part;
//  2. the brokers of each rack are a ring with a random beginning, the racks
//     are a list in the order of their names with a random beginning;
//  3. a partition takes its first replica, which will lead, from the first rack
//     with an unfenced broker, and the others from the racks in turn, unfenced
//     brokers first; the next partition begins one rack and one broker further;
//  4. after as many partitions as there are unfenced brokers everything is
//     shuffled, so that the same brokers do not follow each other for ever.
//
// Plain random placement would be shorter and would put far more partitions on
// some brokers than on others.
func (v *view) place(partitions int, factor int16) ([]assignment, error) {
	p := newPlacer(v)
	switch {
	case factor <= 0:
		return nil, protocol.Errorf(protocol.InvalidReplicationFactor,
			"Invalid replication factor %d: the replication factor must be positive.", factor)
	case p.unfenced == 0:
		return nil, protocol.Errorf(protocol.InvalidReplicationFactor,
			"All brokers are currently fenced, or have all their log directories cordoned.")
	case int(factor) > p.total:
		return nil, protocol.Errorf(protocol.InvalidReplicationFactor,
			"The target replication factor of %d cannot be reached because only %d broker(s) are registered or some brokers have all their log directories cordoned.",
			factor, p.total)
	}
	out := make([]assignment, 0, partitions)
	for range partitions {
		out = append(out, v.assign(p.next(int(factor))))
	}
	return out, nil
}

// placer is a placement under way.
type placer struct {
	rand            *rand.Rand
	racks           []*rack
	total, unfenced int
	round           int // partitions since the last shuffle
	offset          int // where in racks the next partition begins
}

type rack struct {
	name             string
	named            bool
	unfenced, fenced ring
}

func newPlacer(v *view) *placer {
	p := &placer{rand: v.rand}
	for b := range v.img.Brokers() {
		if b.InControlledShutdown || allCordoned(b) {
			continue
		}
		r := p.rack(b.Rack)
		p.total++
		if b.Fenced {
			r.fenced.brokers = append(r.fenced.brokers, b.ID)
			continue
		}
		p.unfenced++
		r.unfenced.brokers = append(r.unfenced.brokers, b.ID)
	}
	slices.SortFunc(p.racks, func(a, b *rack) int {
		if a.named != b.named { // brokers without a rack come first
			if b.named {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.name, b.name)
	})
	for _, r := range p.racks {
		r.fenced.start(p.rand)
		r.unfenced.start(p.rand)
	}
	if len(p.racks) > 0 {
		p.offset = p.rand.IntN(len(p.racks))
	}
	return p
}

// allCordoned tells whether no log dir of the broker takes new replicas.
func allCordoned(b *metadata.Broker) bool {
	if len(b.LogDirs) == 0 {
		return false
	}
	return !slices.ContainsFunc(b.LogDirs, func(id metadata.UUID) bool { return !slices.Contains(b.CordonedLogDirs, id) })
}

func (p *placer) rack(name *string) *rack {
	want := rack{named: name != nil}
	if name != nil {
		want.name = *name
	}
	for _, r := range p.racks {
		if r.named == want.named && r.name == want.name {
			return r
		}
	}
	p.racks = append(p.racks, &want)
	return &want
}

// next is the replicas of the next partition; there are enough brokers.
func (p *placer) next(factor int) []int32 {
	if p.round == p.unfenced && p.unfenced > 1 {
		p.shuffle()
		p.round = 0
	}
	p.offset %= len(p.racks)
	replicas := make([]int32, 0, factor)
	// The leader: the first unfenced broker from offset on.
	first := p.offset
	for {
		if id, ok := p.racks[first].unfenced.next(p.round); ok {
			replicas = append(replicas, id)
			break
		}
		first = (first + 1) % len(p.racks)
	}
	// The followers: one of each rack in turn, the leader's rack last.
	for at, passed := p.offset, false; len(replicas) < factor; at = (at + 1) % len(p.racks) {
		if at == first && !passed {
			passed = true
			continue
		}
		if id, ok := p.racks[at].next(p.round); ok {
			replicas = append(replicas, id)
		}
	}
	p.round++
	p.offset++
	return replicas
}

func (p *placer) shuffle() {
	p.rand.Shuffle(len(p.racks), func(i, j int) { p.racks[i], p.racks[j] = p.racks[j], p.racks[i] })
	for _, r := range p.racks {
		r.fenced.shuffle(p.rand)
		r.unfenced.shuffle(p.rand)
	}
}

func (r *rack) next(round int) (int32, bool) {
	if id, ok := r.unfenced.next(round); ok {
		return id, true
	}
	return r.fenced.next(round)
}

// ring hands out each of its brokers once a round, beginning one further in
// every round.
type ring struct {
	brokers              []int32
	index, offset, round int
}

func (r *ring) start(rand *rand.Rand) {
	if len(r.brokers) > 0 {
		r.offset = rand.IntN(len(r.brokers))
	}
}

func (r *ring) shuffle(rand *rand.Rand) {
	rand.Shuffle(len(r.brokers), func(i, j int) { r.brokers[i], r.brokers[j] = r.brokers[j], r.brokers[i] })
}

func (r *ring) next(round int) (int32, bool) {
	if len(r.brokers) == 0 {
		return 0, false
	}
	if r.round != round {
		r.round, r.index = round, 0
		r.offset = (r.offset + 1) % len(r.brokers)
	}
	if r.index >= len(r.brokers) {
		return 0, false
	}
	id := r.brokers[(r.index+r.offset)%len(r.brokers)]
	r.index++
	return id, true
}
