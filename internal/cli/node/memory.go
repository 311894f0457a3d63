package node

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"ottla/internal/config"
)

// memoryShare is the part of the machine's memory that a node takes when it is
// not told: the rest is worth more to it as page cache.
const memoryShare = 4

// boundMemory acts on ottla.memory.max for the whole process: it makes it Go's
// soft limit, near which the collector works harder, and sets the key where it
// was left 0, for the queues that share it. In this order the bound is the key,
// GOMEMLIMIT, or a quarter of what the machine has; when that is unknown there
// is none. An embedded node does not come here: the process is not its own.
func boundMemory(cfg *config.Broker, root fs.FS) {
	limit := cfg.Ottla.MemoryMax
	if limit == 0 {
		if set := debug.SetMemoryLimit(-1); set != math.MaxInt64 {
			cfg.Ottla.MemoryMax = set
			return
		}
		limit = machineMemory(root) / memoryShare
	}
	if limit > 0 {
		cfg.Ottla.MemoryMax = limit
		debug.SetMemoryLimit(limit)
	}
}

// machineMemory is how many bytes the process may use at most: what Linux
// counts as memory, or the limit of a control group that it lives in, if that
// is smaller. 0: unknown. root is the file system's.
func machineMemory(root fs.FS) int64 {
	least := totalMemory(root)
	for _, name := range groupLimits(root) {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			continue // a group above is not always shown to those inside
		}
		// "max" is no number; version 1 says it by a number beyond all memory.
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}

// totalMemory reads MemTotal, which is in KiB.
func totalMemory(root fs.FS) int64 {
	info, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(info)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				kib, _ := strconv.ParseInt(fields[0], 10, 64) // 0 is unknown
				return kib << 10
			}
		}
	}
	return 0
}

// groupLimits names the files with the limits of the process's control groups,
// from its own up to the root: in /proc/self/cgroup a line number:controllers:path
// for each hierarchy, that of version 2 without controllers.
func groupLimits(root fs.FS) (names []string) {
	lines, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(lines)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		top, file := "sys/fs/cgroup", "memory.max"
		switch {
		case parts[1] == "memory":
			top, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		case parts[1] != "":
			continue
		}
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			names = append(names, path.Join(top, group, file))
			if group == "/" {
				break
			}
		}
	}
	return names
}
