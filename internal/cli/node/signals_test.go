//go:build unix

package node

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ottla/internal/cli"
)

// asProgram makes the test binary run Main. This gives a real process without a
// build.
const asProgram = "OTTLATEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main())
	}
	os.Exit(m.Run())
}

// process is a node in a separate process.
type process struct {
	cmd               *exec.Cmd
	out, errs         <-chan string // lines
	outPipe, errsPipe io.Closer
	data, address     string
}

// startProcess runs serve until it prints its address. program, if given, is a
// wrapper that runs it, such as nohup.
func startProcess(t *testing.T, env []string, program ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	args := append(program, self, "serve", "--data", data, "--listen", "127.0.0.1:0", "--set", "ottla.http.listener=none")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, out: lines(out), errs: lines(errs), outPipe: out, errsPipe: errs, data: data}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p.address = strings.TrimSpace(strings.TrimPrefix(p.line(t, p.out, "  bootstrap"), "  bootstrap"))
	p.line(t, p.out, "Try,")
	return p
}

// lines reads all output of a process, so that the process never blocks: a dump
// of goroutines is larger than a pipe. The channel is closed at the end of the
// output.
func lines(r io.Reader) <-chan string {
	all := make(chan string, 1<<20)
	go func() {
		defer close(all)
		b := bufio.NewReader(r)
		for {
			line, err := b.ReadString('\n')
			if line != "" {
				all <- line
			}
			if err != nil {
				return
			}
		}
	}()
	return all
}

// line returns the first line with a prefix.
func (p *process) line(t *testing.T, r <-chan string, prefix string) string {
	t.Helper()
	var all strings.Builder
	for line := range r {
		if strings.HasPrefix(line, prefix) {
			return line
		}
		all.WriteString(line)
	}
	t.Fatalf("no line %q\n%s", prefix, all.String())
	return ""
}

// serves checks that the node works. It sends an invalid request, which the
// node logs, and waits until the node closes the connection. Then it calls a
// client command.
func (p *process) serves(t *testing.T) {
	t.Helper()
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	_, _ = io.ReadAll(c) // a reset is fine too
	_ = c.Close()
	code, out, errs := call(t, cli.Streams{}, "cluster", "info", "-b", p.address)
	if code != 0 || !strings.Contains(out, "127.0.0.1") {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// endsInOrder waits for the process and checks for the file that marks a clean
// stop.
func (p *process) endsInOrder(t *testing.T) {
	t.Helper()
	for range p.errs { // read to the end: Wait closes the pipe
		continue
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("ended by %v", err)
	}
	if _, err := os.Stat(filepath.Join(p.data, ".kafka_cleanshutdown")); err != nil {
		t.Errorf("no clean stop: %v", err)
	}
}

// TestOutputCloses: the node continues when its output pipes are closed.
func TestOutputCloses(t *testing.T) {
	p := startProcess(t, nil)
	_ = p.outPipe.Close()
	_ = p.errsPipe.Close()
	p.serves(t)
	p.serves(t)
	p.signal(t, syscall.SIGTERM)
	p.endsInOrder(t)
}

// TestQuitDumps: SIGQUIT prints the goroutines, also a second time, and the
// node continues.
func TestQuitDumps(t *testing.T) {
	p := startProcess(t, nil)
	for range 2 {
		p.signal(t, syscall.SIGQUIT)
		p.line(t, p.errs, "goroutine ")
		p.line(t, p.errs, "ottla/internal/server.")
	}
	p.serves(t)
	p.signal(t, syscall.SIGTERM)
	p.endsInOrder(t)
}

// TestHangupEnds: SIGHUP stops the node cleanly. Under nohup it does nothing.
func TestHangupEnds(t *testing.T) {
	// If the tests run under nohup, the node would inherit the ignored SIGHUP.
	// A signal that is caught here has its default action in a child process.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	p := startProcess(t, nil)
	p.signal(t, syscall.SIGHUP)
	p.endsInOrder(t)

	p = startProcess(t, nil, "nohup")
	p.signal(t, syscall.SIGHUP)
	p.serves(t)
	p.signal(t, syscall.SIGTERM)
	p.endsInOrder(t)
}

// TestSystemd: a service of Type=notify reports when it is ready and when it
// stops.
func TestSystemd(t *testing.T) {
	dir, err := os.MkdirTemp("", "ottla") // socket paths must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	told := func() string {
		var text [64]byte
		n, err := socket.Read(text[:])
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:n])
	}
	p := startProcess(t, []string{notifySocket + path})
	if got := told(); got != "READY=1" {
		t.Errorf("told %q", got)
	}
	p.serves(t)
	p.signal(t, syscall.SIGTERM)
	if got := told(); got != "STOPPING=1" {
		t.Errorf("told %q", got)
	}
	p.endsInOrder(t)
}
