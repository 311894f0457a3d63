package ottla_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla"
	"ottla/internal/leaks"
)

// TestMain fails when a test leaves a goroutine of a node behind.
func TestMain(m *testing.M) { os.Exit(leaks.Main(m, "ottla/internal/")) }

// put writes a record to a node and waits for the acknowledgement.
func put(t *testing.T, node *ottla.Node, value string, options ...kgo.Opt) {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(node.Addr()), kgo.AllowAutoTopicCreation()}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// A node without a folder creates a temporary one and removes it on Close.
func TestTemporaryFolder(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	t.Setenv("TMP", temp)
	node, err := ottla.Start(t.Context(), ottla.Config{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, node, "v")
	if found, _ := filepath.Glob(filepath.Join(temp, "ottla-*")); len(found) != 1 {
		t.Errorf("folders while it runs: %v", found)
	}
	for range 2 {
		if err := node.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := node.Wait(); err != nil {
		t.Errorf("wait: %v", err)
	}
	if found, _ := filepath.Glob(filepath.Join(temp, "*")); len(found) > 0 {
		t.Errorf("left behind: %v", found)
	}
}

// A node with a folder leaves its data there. A second node finds the data
// under the same cluster id.
func TestOwnFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	var cluster string
	for i := range 2 {
		node, err := ottla.Start(t.Context(), ottla.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && node.ClusterID() != cluster || node.ClusterID() == "" {
			t.Errorf("cluster %q became %q", cluster, node.ClusterID())
		}
		cluster = node.ClusterID()
		put(t, node, "v")
		if err := node.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "t-0")); err != nil {
		t.Errorf("the data is not in its folder: %v", err)
	}
}

// A failed start returns an error with the reason and leaves nothing behind.
func TestStartFails(t *testing.T) {
	used, err := ottla.Start(t.Context(), ottla.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name       string
		ctx        context.Context
		properties map[string]string
		word       string
	}{
		{"an invalid value", t.Context(), map[string]string{"num.partitions": "many"}, "num.partitions"},
		{"an unsupported listener", t.Context(), map[string]string{"listeners": "SSL://127.0.0.1:0"}, "SSL"},
		{"a port in use", t.Context(), map[string]string{"listeners": "PLAINTEXT://" + used.Addr()}, "PLAINTEXT"},
		{"a canceled context", over, nil, "context canceled"},
	} {
		temp := t.TempDir()
		t.Setenv("TMPDIR", temp)
		t.Setenv("TMP", temp)
		node, err := ottla.Start(c.ctx, ottla.Config{Properties: c.properties})
		if err == nil {
			node.Close()
			t.Errorf("%s: started", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v", c.name, err)
		}
		if found, _ := filepath.Glob(filepath.Join(temp, "*")); len(found) > 0 {
			t.Errorf("%s: left behind %v", c.name, found)
		}
	}
}

// A node can use a different network than the machine's.
func TestOtherNetwork(t *testing.T) {
	l := &hub{accepted: make(chan net.Conn), closed: make(chan struct{})}
	node, err := ottla.Start(t.Context(), ottla.Config{
		Properties: map[string]string{"listeners": "PLAINTEXT://127.0.0.1:4711"},
		Listen: func(_, addr string) (net.Listener, error) {
			if addr != "127.0.0.1:4711" {
				return nil, errors.New("listen at " + addr)
			}
			return l, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, node, "v", kgo.Dialer(func(_ context.Context, _, addr string) (net.Conn, error) {
		if addr != "127.0.0.1:4711" {
			return nil, errors.New("dial " + addr)
		}
		near, far := net.Pipe()
		l.accepted <- far
		return near, nil
	}))
	if err := node.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// hub is a listener for in-memory pipes.
type hub struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func (h *hub) Accept() (net.Conn, error) {
	select {
	case c := <-h.accepted:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *hub) Close() error   { close(h.closed); return nil }
func (h *hub) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711} }
