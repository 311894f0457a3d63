package broker

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"ottla/internal/vfs"
)

// Env is everything that a node touches outside itself. A test or a simulation
// hands in its own; OS is the real one.
//
// Timers and durations are package time's, which testing/synctest fakes.
type Env struct {
	// Now is the wall clock of record timestamps, retention and expiry. It may
	// jump in either direction; nothing that must be safe depends on it.
	Now func() time.Time
	// Elapsed is the time since some moment before the node started, which never
	// goes back. It runs as package time's timers do, also while the process
	// stands still; sessions count by clock, which does not.
	Elapsed func() time.Duration
	// FS holds every file of the node.
	FS vfs.FS
	// Listen opens the listeners of the node.
	Listen func(network, addr string) (net.Listener, error)
	// Dial reaches other nodes.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Resolve finds the addresses of a host.
	Resolve func(host string) ([]netip.Addr, error)
	// Hostname is the machine's name, for a listener that is advertised without
	// a host.
	Hostname func() (string, error)
	// Version is that of the program, for /metrics; empty: unknown.
	Version string
	// Seed feeds every random choice: ids of cluster, folders, topics and
	// incarnations, and jitter. The same seed makes the same choices.
	Seed uint64
	// Log takes what an operator should know; LogLevel, if set, is the level
	// that clients may alter.
	Log      *slog.Logger
	LogLevel *slog.LevelVar
}

// OS is the Env of a real process; log is where it reports.
func OS(log *slog.Logger) Env {
	var seed [8]byte
	// crypto/rand.Read never fails: it ends the process instead.
	_, _ = crand.Read(seed[:])
	var dialer net.Dialer
	start := time.Now()
	return Env{
		Now:     time.Now,
		Elapsed: func() time.Duration { return time.Since(start) },
		FS:      vfs.OS{},
		Listen:  net.Listen,
		Dial:    dialer.DialContext,
		Resolve: func(host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(context.Background(), "ip", host)
		},
		Hostname: os.Hostname,
		Seed:     binary.LittleEndian.Uint64(seed[:]),
		Log:      log,
	}
}

// random derives the source of one part of the node, so that what one part
// draws does not shift what another gets.
func (e Env) random(part string) *rand.Rand {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], e.Seed)
	copy(key[8:], part)
	return rand.New(rand.NewChaCha8(key))
}
