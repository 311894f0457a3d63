package node

import (
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"

	"ottla/internal/config"
)

// files is a file system with the memory files of a Linux machine.
func files(content map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range content {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

const (
	meminfo = "proc/meminfo"
	groups  = "proc/self/cgroup"
	eightGB = "MemTotal:        8000000 kB\nMemFree:          100 kB\n"
)

func TestMachineMemory(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing known": {nil, 0},
		"no groups":     {map[string]string{meminfo: eightGB}, 8000000 << 10},
		"version 2": {map[string]string{
			meminfo: eightGB, groups: "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "2000\n", "sys/fs/cgroup/a/memory.max": "max\n",
		}, 2000},
		"version 2, a group above": {map[string]string{
			meminfo: eightGB, groups: "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "1000\n",
		}, 1000},
		"version 2, inside a container": {map[string]string{
			meminfo: eightGB, groups: "0::/\n", "sys/fs/cgroup/memory.max": "3000\n",
		}, 3000},
		"version 1": {map[string]string{
			meminfo: eightGB, groups: "12:cpu,cpuacct:/x\n4:memory:/y\n",
			"sys/fs/cgroup/memory/y/memory.limit_in_bytes": "4000\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 4000},
		"a limit above the memory": {map[string]string{
			meminfo: eightGB, groups: "0::/\n", "sys/fs/cgroup/memory.max": "9000000000000\n",
		}, 8000000 << 10},
		"garbage": {map[string]string{meminfo: "MemTotal:\n", groups: "x\n0::\n", "sys/fs/cgroup/memory.max": ""}, 0},
	} {
		if got := machineMemory(files(c.files)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestBoundMemory: the key has priority over GOMEMLIMIT, and GOMEMLIMIT over
// the machine's memory.
func TestBoundMemory(t *testing.T) {
	none := int64(math.MaxInt64)
	for name, c := range map[string]struct{ key, set, machine, want, limit int64 }{
		"of the machine": {0, none, 8 << 20, 2 << 20, 2 << 20},
		"unknown":        {0, none, 0, 0, none},
		"the key":        {64 << 20, none, 8 << 20, 64 << 20, 64 << 20},
		"GOMEMLIMIT":     {0, 32 << 20, 8 << 20, 32 << 20, 32 << 20},
		"both":           {64 << 20, 32 << 20, 8 << 20, 64 << 20, 64 << 20},
	} {
		before := debug.SetMemoryLimit(c.set)
		root := files(map[string]string{groups: "0::/\n", "sys/fs/cgroup/memory.max": "0\n"})
		if c.machine > 0 {
			root = files(map[string]string{groups: "0::/\n", "sys/fs/cgroup/memory.max": "8388608\n"})
		}
		cfg := &config.Broker{Ottla: config.Own{MemoryMax: c.key}}
		boundMemory(cfg, root)
		if got := debug.SetMemoryLimit(before); cfg.Ottla.MemoryMax != c.want || got != c.limit {
			t.Errorf("%s: %d and a limit of %d, want %d and %d", name, cfg.Ottla.MemoryMax, got, c.want, c.limit)
		}
	}
}
