package server

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"ottla/internal/config"
)

// limits counts the connections of a group of listeners against
// max.connections and max.connections.per.ip.
type limits struct {
	max       int
	perIP     int
	overrides map[netip.Addr]int

	mu    sync.Mutex
	total int
	byIP  map[netip.Addr]int
	// freed is closed, and replaced, when a connection closes.
	freed chan struct{}
}

// newLimits reads the limits of the configuration.
func newLimits(c *config.Network, resolve func(string) ([]netip.Addr, error)) (*limits, error) {
	l := &limits{
		max: int(c.MaxConnections), perIP: int(c.MaxConnectionsPerIP),
		overrides: map[netip.Addr]int{}, byIP: map[netip.Addr]int{}, freed: make(chan struct{}),
	}
	for host, limit := range c.MaxConnectionsPerIPOverrides {
		addresses, err := addressesOf(host, resolve)
		if err != nil {
			return nil, fmt.Errorf("max.connections.per.ip.overrides: %s: %w", host, err)
		}
		for _, a := range addresses {
			l.overrides[a.Unmap().WithZone("")] = int(limit)
		}
	}
	return l, nil
}

func addressesOf(host string, resolve func(string) ([]netip.Addr, error)) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{address}, nil
	}
	if host == "localhost" {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	if resolve == nil {
		return nil, errors.New("not an address")
	}
	return resolve(host)
}

// take counts a connection of an address. If the address has reached its limit,
// the connection is refused: ok is false and allowed is the limit. At
// max.connections take waits, unless the listener is protected. giveUp ends the
// wait; allowed is then 0.
func (l *limits) take(address netip.Addr, protected bool, giveUp <-chan struct{}) (allowed int, ok bool) {
	address = address.WithZone("")
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		allowed, special := l.overrides[address]
		if !special {
			allowed = l.perIP
		}
		if l.byIP[address] >= allowed {
			return allowed, false
		}
		if l.total < l.max || protected {
			l.total++
			l.byIP[address]++
			return allowed, true
		}
		freed := l.freed
		l.mu.Unlock()
		select {
		case <-freed:
			l.mu.Lock()
		case <-giveUp:
			l.mu.Lock()
			return 0, false
		}
	}
}

// give counts a connection that closed.
func (l *limits) give(address netip.Addr) {
	address = address.WithZone("")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.byIP[address]--; l.byIP[address] == 0 {
		delete(l.byIP, address)
	}
	close(l.freed)
	l.freed = make(chan struct{})
}

// exceeded tells whether there are more than max.connections connections. Only
// connections of a protected listener can cause this.
func (l *limits) exceeded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total > l.max
}
