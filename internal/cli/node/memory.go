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

// memoryShare is the divisor for the default memory limit of a node: a quarter
// of the machine's memory. The rest is more useful as page cache.
const memoryShare = 4

// boundMemory applies ottla.memory.max to the whole process. It sets Go's soft
// limit, near which the garbage collector runs more often. If the key is 0 it
// sets the key too, for the queues that share the limit. The limit is the key,
// else GOMEMLIMIT, else a quarter of the machine's memory; if that is unknown
// there is no limit. Embedded nodes do not call this, because they do not own
// the process.
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

// machineMemory is the maximum number of bytes that the process can use: the
// memory of the machine on Linux, or a smaller limit of a control group of the
// process. 0: unknown. root is the root of the file system.
func machineMemory(root fs.FS) int64 {
	least := totalMemory(root)
	for _, name := range groupLimits(root) {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			continue // parent groups are not always visible inside a container
		}
		// "max" is not a number. Version 1 uses a very large number instead.
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
				kib, _ := strconv.ParseInt(fields[0], 10, 64) // 0 means unknown
				return kib << 10
			}
		}
	}
	return 0
}

// groupLimits returns the names of the limit files of the process's control
// groups, from its own group up to the root. /proc/self/cgroup has one line
// number:controllers:path per hierarchy; the line of version 2 has no
// controllers.
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
