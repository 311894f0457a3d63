package target

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// prepareOttla builds the binary and makes the command line of `ottla serve`.
func (b *Broker) prepareOttla(opts Options) error {
	binary, err := Binary()
	if err != nil {
		return err
	}
	port, err := FreePort()
	if err != nil {
		return err
	}
	b.Addr = fmt.Sprintf("127.0.0.1:%d", port)
	b.Dir = opts.Dir
	b.argv = []string{binary, "serve", "--data", b.Dir, "--listen", b.Addr, "--set", "ottla.http.listener=none"}
	for _, kv := range opts.Set {
		b.argv = append(b.argv, "--set", kv)
	}
	if opts.Descriptors > 0 {
		b.argv = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, opts.Descriptors)}, b.argv...)
	}
	return nil
}

// Binary builds Ottla once per test process and returns the path of the
// executable. If OTTLA_BINARY is set, it returns that path instead.
func Binary() (string, error) { return buildOnce() }

var buildOnce = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("OTTLA_BINARY"); path != "" {
		return path, nil
	}
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(buildDir(), "ottla")
	build := exec.Command("go", "build", "-o", path, "./cmd/ottla")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building ottla: %w\n%s", err, out)
	}
	return path, nil
})

// Main is for TestMain: it runs the tests and removes the binary that Binary
// built.
func Main(m *testing.M) int {
	code := m.Run()
	if err := os.RemoveAll(buildDir()); err != nil {
		fmt.Fprintln(os.Stderr, "leftover of the tests:", err)
	}
	return code
}

func buildDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("ottla-interop-%d", os.Getpid()))
}
