package groups

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"ottla/interop/clients"
)

// Member is the configuration of a worker.
type Member struct {
	Group    string   `json:"group"`
	Topics   []string `json:"topics"`
	Pattern  string   `json:"pattern,omitempty"` // instead of Topics; RE2 syntax
	Protocol string   `json:"protocol"`          // classic or consumer
	Assignor string   `json:"assignor"`          // of a classic group
	Instance string   `json:"instance,omitempty"`
	Session  int      `json:"session"`   // session timeout of a classic member, ms
	Interval int      `json:"heartbeat"` // of a classic member, ms
}

// Worker is a running member.
type Worker struct {
	Name string

	history *History
	cmd     *exec.Cmd
	in      io.Closer
	stderr  bytes.Buffer
	read    chan struct{} // closed when the output has ended
	ended   sync.Once
	err     error
}

// StartWorker starts a worker. It is killed at the end of the test.
func StartWorker(t testing.TB, h *History, name string, c clients.Command, addr string, m Member) *Worker {
	t.Helper()
	told, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(c.Argv[0], append(c.Argv[1:], addr, string(told))...)
	cmd.Env = append(os.Environ(), c.Env...)
	w := &Worker{Name: name, history: h, cmd: cmd, read: make(chan struct{})}
	cmd.Stderr = &w.stderr
	if w.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go w.follow(out)
	t.Cleanup(func() {
		w.Kill()
		if t.Failed() && w.stderr.Len() > 0 {
			t.Logf("%s on its standard error:\n%s", name, lastLines(w.stderr.String(), 25))
		}
	})
	return w
}

// follow records every line until the worker has closed its output. A line that
// was truncated by a kill is ignored.
func (w *Worker) follow(out io.Reader) {
	defer close(w.read)
	lines := bufio.NewReaderSize(out, 1<<16)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		w.history.note(w.Name, strings.TrimSpace(line))
	}
}

// Kill ends the worker with SIGKILL. Its partitions are free from then on.
func (w *Worker) Kill() {
	_ = w.cmd.Process.Kill() // fails only when it has ended
	w.wait()
	w.history.noteKilled(w.Name)
}

// Stop lets the worker leave the group and returns its exit status.
func (w *Worker) Stop() error {
	if err := w.in.Close(); err != nil {
		return err
	}
	if w.wait(); w.err != nil {
		return fmt.Errorf("%s: %w\n%s", w.Name, w.err, lastLines(w.stderr.String(), 25))
	}
	return nil
}

func (w *Worker) wait() {
	w.ended.Do(func() {
		<-w.read
		w.err = w.cmd.Wait()
	})
}

func lastLines(text string, n int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}
