package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ottla/interop/target"
)

// kind names a side of a measurement.
type kind string

// The sides of a measurement. The floor is not a broker: it does only the
// minimum work of one.
const (
	kafka kind = "kafka"
	ottla kind = "ottla"
	floor kind = "floor"
)

// defaultJVM are the JVM flags that kafka-server-start.sh uses.
var defaultJVM = []string{
	"-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
	"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
}

// kafkaNeeds is set for Kafka in all cases. Without the first setting a single
// node has no consumer groups. Without the second, which is 50 by default,
// Kafka resets connections when some hundreds are opened at once.
var kafkaNeeds = []string{"offsets.topic.replication.factor=1", "socket.listen.backlog.size=4096"}

// side is one broker under measurement.
type side struct {
	kind   kind
	binary string // also the load generator
	addr   string
	dir    string
	pid    int
	broker *target.Broker // nil for the floor
	jars   string
}

// startSide starts a broker on an empty folder.
func startSide(s *scope, k kind, set []string) (*side, error) {
	binary, err := target.Binary()
	if err != nil {
		return nil, err
	}
	x := &side{kind: k, binary: binary}
	switch k {
	case kafka:
		x.jars = target.Jars(s)
		set = append(slices.Clone(kafkaNeeds), set...)
		x.broker, err = target.Launch(s, target.Options{Kind: target.Kafka, Set: set, JVM: defaultJVM})
	case ottla:
		x.broker, err = target.Launch(s, target.Options{Kind: target.Ottla, Set: set})
	default:
		return x, x.startFloor(s, set)
	}
	if err != nil {
		return nil, err
	}
	x.addr, x.dir, x.pid = x.broker.Addr, x.broker.Dir, x.broker.PID()
	return x, nil
}

// startFloor runs this program as the floor, with additional arguments.
func (x *side) startFloor(s *scope, more []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	x.dir = s.TempDir()
	cmd := exec.Command(self, append([]string{floorCommand, x.dir}, more...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	x.pid = cmd.Process.Pid
	s.Cleanup(func() {
		_ = cmd.Process.Kill() // it has no data to save
		_ = cmd.Wait()
	})
	line := make([]byte, 64)
	n, err := out.Read(line)
	x.addr = strings.TrimSpace(string(line[:n]))
	return err
}

// sample is the result of one load on one side.
type sample struct {
	loaded
	cpu    float64 // of the broker, in seconds
	peakMB float64 // resident, 10⁶ bytes
}

// loaded is what `ottla bench` reports.
type loaded struct {
	Seconds   float64 `json:"seconds"`
	Records   float64 `json:"records"`
	Bytes     float64 `json:"bytes"`
	Requests  float64 `json:"requests"`
	LatencyMs struct {
		P50  float64 `json:"p50"`
		P99  float64 `json:"p99"`
		P999 float64 `json:"p99_9"`
	} `json:"latency_ms"`
}

// load runs `ottla bench` on a side and measures the CPU time of the broker
// during the run.
func (x *side) load(ctx context.Context, args []string) (sample, error) {
	before, err := cpuSeconds(x.pid)
	if err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(ctx, x.binary, append([]string{"bench"}, args...)...)
	cmd.Args = append(cmd.Args, "-q", "--format", "json", "-b", x.addr, "--timeout", "2m") // time to create 10,000 partitions
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("%s: ottla bench %s: %w: %s", x.kind, strings.Join(args, " "), err, errs.String())
	}
	var s sample
	if err := json.Unmarshal(out.Bytes(), &s.loaded); err != nil {
		return s, err
	}
	after, err := cpuSeconds(x.pid)
	if err != nil {
		return s, err
	}
	s.cpu = after - before
	s.peakMB, err = residentMB(x.pid, "VmHWM")
	return s, err
}

// ticksPerSecond is the kernel's unit of CPU time in /proc. It is 100 on every
// Linux that Go supports.
const ticksPerSecond = 100

// cpuSeconds is the CPU time of a process in user and kernel mode.
func cpuSeconds(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("cannot read the process's stat")
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond, errors.Join(err1, err2)
}

// residentMB reads a memory figure of a process: VmRSS (current) or VmHWM
// (peak).
func residentMB(pid int, figure string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, figure+":"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, errors.New("no such memory figure: " + figure)
}

// forgetPeak resets VmHWM.
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200)
}

// cold drops the files of a side from the page cache. It syncs them first,
// because only clean pages can be dropped.
func (x *side) cold() error {
	return filepath.WalkDir(x.dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // opened for reading only
		if err := f.Sync(); err != nil {
			return err
		}
		return dropCache(f)
	})
}

// scope is the lifetime of a case: its temporary folders and processes.
type scope struct {
	name     string
	cleanups []func()
}

func (s *scope) Helper()                           {}
func (s *scope) Name() string                      { return s.name }
func (s *scope) Failed() bool                      { return false }
func (s *scope) Logf(format string, args ...any)   { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (s *scope) Fatal(args ...any)                 { panic(scopeError(fmt.Sprint(args...))) }
func (s *scope) Fatalf(format string, args ...any) { panic(scopeError(fmt.Sprintf(format, args...))) }
func (s *scope) Skipf(format string, args ...any)  { s.Fatalf(format, args...) }
func (s *scope) Cleanup(f func())                  { s.cleanups = append(s.cleanups, f) }

// scopeError is the reason why a scope was aborted.
type scopeError string

// TempDir creates a folder that is removed with the scope. BENCH_DIR selects
// the file system: use it if /tmp is in memory, because the data must be on a
// disk.
func (s *scope) TempDir() string {
	dir, err := os.MkdirTemp(os.Getenv("BENCH_DIR"), "ottla-bench-")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// run calls do and then all cleanups in reverse order.
func (s *scope) run(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			why, ok := v.(scopeError)
			if !ok {
				panic(v)
			}
			err = errors.New(string(why))
		}
	}()
	defer func() {
		for i := len(s.cleanups) - 1; i >= 0; i-- {
			s.cleanups[i]()
		}
	}()
	return do()
}

// settle waits for pending writes of earlier loads, so that they do not slow
// down the next one.
func settle() {
	_ = exec.Command("sync").Run() // without this the figures are noisier
	<-time.After(200 * time.Millisecond)
}
