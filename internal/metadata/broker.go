package metadata

import (
	"iter"
	"slices"
)

// Broker is the registration of a broker. It never changes, and its lists must
// not be changed.
type Broker struct {
	ID int32
	// Epoch is the offset of the registration's record. It grows with every
	// registration of the broker (R12).
	Epoch int64
	// IncarnationID differs for every start of the broker's process.
	IncarnationID UUID
	// Listeners are the addresses for clients and other brokers.
	Listeners []BrokerEndpoint
	// Features are the ranges of feature levels that it supports.
	Features []BrokerFeature
	// Rack is broker.rack, nil when it is not set.
	Rack *string
	// Fenced brokers lead no partition, are in no ISR and are hidden from clients.
	Fenced bool
	// InControlledShutdown brokers get no new replicas and lead no partition.
	InControlledShutdown bool
	// MigratingZK is left over from the migration off ZooKeeper.
	MigratingZK bool
	// LogDirs are the ids of its online log dirs, ascending.
	LogDirs []UUID
	// CordonedLogDirs take no new replicas. nil: the broker has not reported
	// any yet.
	CordonedLogDirs []UUID
}

// Active tells whether the broker may lead partitions.
func (b *Broker) Active() bool { return !b.Fenced && !b.InControlledShutdown }

// Listener returns the address of the listener with a name.
func (b *Broker) Listener(name string) (BrokerEndpoint, bool) {
	i := slices.IndexFunc(b.Listeners, func(e BrokerEndpoint) bool { return e.Name == name })
	if i < 0 {
		return BrokerEndpoint{}, false
	}
	return b.Listeners[i], true
}

// HasLogDir tells whether a log dir is online.
func (b *Broker) HasLogDir(id UUID) bool { return slices.Contains(b.LogDirs, id) }

// Broker returns a registered broker, nil if no broker has that id.
func (img *Image) Broker(id int32) *Broker {
	b, _ := img.brokers.Get(id)
	return b
}

// Brokers iterates over the registered brokers, including fenced ones, by
// ascending id.
func (img *Image) Brokers() iter.Seq[*Broker] {
	return func(yield func(*Broker) bool) {
		for _, b := range img.brokers.All() {
			if !yield(b) {
				return
			}
		}
	}
}

func brokerFromRecord(r *RegisterBrokerRecord) *Broker {
	return &Broker{
		ID: r.BrokerID, Epoch: r.BrokerEpoch, IncarnationID: r.IncarnationID, Listeners: r.EndPoints,
		Features: r.Features, Rack: r.Rack, Fenced: r.Fenced, InControlledShutdown: r.InControlledShutdown,
		MigratingZK: r.IsMigratingZkBroker, LogDirs: sortedIDs(r.LogDirs), CordonedLogDirs: sortedIDs(r.CordonedLogDirs),
	}
}

func (b *Broker) record() *RegisterBrokerRecord {
	return &RegisterBrokerRecord{
		BrokerID: b.ID, BrokerEpoch: b.Epoch, IncarnationID: b.IncarnationID, EndPoints: b.Listeners,
		Features: b.Features, Rack: b.Rack, Fenced: b.Fenced, InControlledShutdown: b.InControlledShutdown,
		IsMigratingZkBroker: b.MigratingZK, LogDirs: b.LogDirs, CordonedLogDirs: b.CordonedLogDirs,
	}
}

// sortedIDs sorts a copy of a list of ids; nil stays nil.
func sortedIDs(ids []UUID) []UUID {
	out := slices.Clone(ids)
	slices.SortFunc(out, func(a, b UUID) int { return slices.Compare(a[:], b[:]) })
	return out
}
