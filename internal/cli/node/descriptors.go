package node

import (
	"fmt"

	"ottla/internal/config"
)

// How the descriptors of a process are shared out.
const (
	// keptDescriptors and one of keptShare are for the node itself: listeners, the
	// metadata log, folders and small files of flushes and checkpoints, compaction,
	// scrapes.
	keptDescriptors, keptShare = 128, 32
	// Of the rest, filesShare of allShares are for files of segments.
	filesShare, allShares = 2, 5
)

// boundDescriptors shares out what the process may open, so that no client takes
// what the log needs to go on: a broker that finds no descriptor in the midst of a
// flush must give its log dir up.
//
//  1. Some are kept.
//  2. ottla.open.files.max of the rest are for segments and indexes, two fifths
//     where it is left 0.
//  3. What is left are connections: max.connections is at most that, or half for
//     clients and half for controllers. Beyond it they wait in the kernel's queue.
//
// limit is 0 where it is not known; then nothing is shared out. An embedded node
// does not come here: the process is not its own.
func boundDescriptors(cfg *config.Broker, limit int64) error {
	if limit <= 0 {
		return nil
	}
	limit = min(limit, 1<<30) // "unlimited" is a large number
	rest := limit - keptDescriptors - limit/keptShare
	files := int64(cfg.Ottla.OpenFilesMax)
	if files == 0 {
		files = rest * filesShare / allShares
	}
	connections := rest - files
	if separateControllers(cfg) {
		connections /= 2
	}
	if files < 1 || connections < 1 {
		return fmt.Errorf("the process may open %d files: %d are for the node itself, %d for segments (ottla.open.files.max), none is left for connections; allow more (ulimit -n)", limit, limit-rest, max(files, 0))
	}
	cfg.Ottla.OpenFilesMax = int32(files)
	cfg.Network.MaxConnections = int32(min(int64(cfg.Network.MaxConnections), connections))
	return nil
}

// separateControllers tells whether controllers have a listener of their own.
func separateControllers(cfg *config.Broker) bool {
	of := [2]bool{}
	for _, l := range cfg.Listeners {
		if l.Controller {
			of[1] = true
		} else {
			of[0] = true
		}
	}
	return of[0] && of[1]
}
