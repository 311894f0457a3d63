// Package target starts the broker of a test as a separate process: Ottla's
// binary or Apache Kafka. Start here: Start, then Broker.
package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kind is the program that a Broker runs.
type Kind string

// The two programs.
const (
	Ottla Kind = "ottla"
	Kafka Kind = "kafka"
)

// Default is the kind that tests use: OTTLA_INTEROP_TARGET, or Ottla.
func Default() Kind {
	if os.Getenv("OTTLA_INTEROP_TARGET") == string(Kafka) {
		return Kafka
	}
	return Ottla
}

// Options configure the start of a broker.
type Options struct {
	// Kind is the program; empty means Default.
	Kind Kind
	// Dir is the data folder; empty means a temporary one.
	Dir string
	// Set holds "key=value" lines of server.properties.
	Set []string
	// Descriptors is the limit of open files of Ottla's process; 0: the test's
	// limit.
	Descriptors int
	// Format are the flags of kafka-storage for the formatting of a new Kafka
	// folder; nil: --standalone. Without that flag the voters are static
	// (controller.quorum.voters).
	Format []string
	// JVM are the JVM flags of Kafka; nil: those of the suite, for small topics
	// and a fast start.
	JVM []string
}

// Scope is the lifetime of a broker: a test, or a benchmark program.
type Scope interface {
	Helper()
	Name() string
	TempDir() string
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Broker is a broker process on a free port of 127.0.0.1.
type Broker struct {
	Kind Kind
	// Addr is the bootstrap address, "127.0.0.1:PORT". It does not change when
	// the broker is restarted.
	Addr string
	// Dir is the folder with the topic folders and __cluster_metadata-0.
	Dir string
	// Properties is the path of Kafka's configuration; "" for a new Ottla.
	Properties string

	name string
	argv []string
	env  []string
	log  Output
	run  *run
}

// run is one run of a broker process.
type run struct {
	pid  int
	done chan struct{} // closed when the process has ended
	err  error         // valid after done: the exit status
}

// retentionDelayKey delays the first run of retention, unless a test sets it.
// Tests write records with old timestamps, which retention would delete during
// the test.
const retentionDelayKey = "log.initial.task.delay.ms="

// startLimit is the limit of the wait for a broker to start.
const startLimit = 60 * time.Second

// Start starts a broker and returns when it responds. The broker is killed at
// the end of the test. If the test failed, the broker's log is printed.
func Start(t Scope, opts Options) *Broker {
	t.Helper()
	b, err := Launch(t, opts)
	if err != nil {
		t.Fatalf("starting %s: %v", b.Kind, err)
	}
	return b
}

// Launch is Start for tests that expect a failed start: it returns the error
// instead of failing the test.
func Launch(t Scope, opts Options) (*Broker, error) {
	t.Helper()
	if opts.Kind == "" {
		opts.Kind = Default()
	}
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	b := &Broker{Kind: opts.Kind, name: t.Name()}
	t.Cleanup(func() {
		b.Kill()
		if t.Failed() && b.Kind == Default() { // the oracle's log is not useful
			t.Logf("log of %s on %s:\n%s", b.Kind, b.Addr, b.log.Tail(60))
		}
	})
	if !slices.ContainsFunc(opts.Set, func(kv string) bool { return strings.HasPrefix(kv, retentionDelayKey) }) {
		opts.Set = append([]string{retentionDelayKey + "3600000"}, opts.Set...)
	}
	if err := b.prepare(t, opts); err != nil {
		return b, err
	}
	return b, b.Up()
}

func (b *Broker) prepare(t Scope, opts Options) error {
	if b.Kind == Kafka {
		return b.prepareKafka(t, opts)
	}
	return b.prepareOttla(opts)
}

// Up starts the process (again) on the same port and data folder and waits
// until it responds.
func (b *Broker) Up() error {
	if err := b.spawn(); err != nil {
		return err
	}
	return b.awaitReady()
}

func (b *Broker) spawn() error {
	cmd := exec.Command(b.argv[0], b.argv[1:]...)
	cmd.Env = append(brokerEnv(), b.env...)
	cmd.Stdout, cmd.Stderr = &b.log, &b.log
	r := &run{done: make(chan struct{})}
	started := make(chan error, 1)
	go superviseProcess(cmd, r, started)
	if err := <-started; err != nil {
		return err
	}
	b.run = r
	return nil
}

// brokerEnv is the environment without variables that would configure a broker:
// the OTTLA_X and KAFKA_X of the test run are for the test only.
func brokerEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "OTTLA_") || strings.HasPrefix(kv, "KAFKA_")
	})
}

// awaitReady returns when the broker has answered ApiVersions and its Metadata
// response contains the broker. It returns an error if the process ended or
// took too long.
func (b *Broker) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		err := handshake(ctx, b.Addr)
		if err == nil {
			return nil
		}
		select {
		case <-retry.C:
		case <-b.run.done:
			return fmt.Errorf("process ended before it answered: %w\n%s", orEnded(b.run.err), b.log.Tail(20))
		case <-ctx.Done():
			return fmt.Errorf("no answer after %v: %w", startLimit, err)
		}
	}
}

// orEnded returns an error for exit code 0, which is not an error of a process.
func orEnded(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func handshake(ctx context.Context, addr string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second) // a cheap probe before a client is created
	if err != nil {
		return err
	}
	_ = conn.Close() // the connection was only a probe
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, cl); err != nil {
		return err
	}
	meta := kmsg.NewPtrMetadataRequest()
	meta.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := meta.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	if len(resp.Brokers) == 0 {
		return errors.New("metadata names no broker yet")
	}
	return nil
}

// PID is the process id of the running broker.
func (b *Broker) PID() int { return b.run.pid }

// Kill ends the process with SIGKILL and waits for its end.
func (b *Broker) Kill() { b.signal(syscall.SIGKILL) }

// Stop ends the process with SIGTERM, waits, and returns its exit status: nil
// for exit code 0 (and for Kafka's JVM, whose code after SIGTERM is 143).
func (b *Broker) Stop() error {
	b.signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if b.Kind == Kafka && errors.As(b.run.err, &exit) && exit.ExitCode() == 143 {
		return nil
	}
	return b.run.err
}

func (b *Broker) signal(sig syscall.Signal) {
	if b.run == nil {
		return
	}
	select {
	case <-b.run.done:
		return
	default:
	}
	if p, err := os.FindProcess(b.run.pid); err == nil {
		_ = p.Signal(sig) // fails only if the process has already ended
	}
	<-b.run.done
}

// Done is closed when the process has ended.
func (b *Broker) Done() <-chan struct{} { return b.run.done }

// Log is the output of the broker so far, over all its runs.
func (b *Broker) Log() string { return b.log.Tail(1 << 30) }

// FreePort returns a TCP port without a listener.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// ModuleRoot is the folder of Ottla's main module, which contains this module
// as interop/.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "interop", "go.mod")); err == nil {
			return dir, nil
		}
		dir = filepath.Dir(dir)
	}
	return "", errors.New("not inside Ottla's repository")
}
