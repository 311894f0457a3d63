package node

import (
	"fmt"

	"ottla/internal/config"
)

// The division of the file descriptors of a process.
const (
	// keptDescriptors plus one of keptShare are reserved for the node itself:
	// listeners, the metadata log, folders and small files of flushes and
	// checkpoints, compaction, scrapes.
	keptDescriptors, keptShare = 128, 32
	// Of the rest, filesShare of allShares are for segment files.
	filesShare, allShares = 2, 5
)

// boundDescriptors divides the file descriptors of the process, so that clients
// cannot use up those that the log needs. A broker that gets no descriptor
// during a flush must take its log dir offline.
//
//  1. Some descriptors are reserved for the node itself.
//  2. Of the rest, ottla.open.files.max are for segments and indexes; two
//     fifths if the key is 0.
//  3. The remaining ones are for connections. max.connections is reduced to
//     that number, or to half of it each for clients and controllers if
//     controllers have their own listener. Further connections wait in the
//     kernel's queue.
//
// limit is 0 if it is unknown; then nothing is changed. Embedded nodes do not
// call this, because they do not own the process.
func boundDescriptors(cfg *config.Broker, limit int64) error {
	if limit <= 0 {
		return nil
	}
	limit = min(limit, 1<<30) // "unlimited" is reported as a large number
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

// separateControllers reports whether controllers have their own listener.
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
