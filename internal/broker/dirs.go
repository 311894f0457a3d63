package broker

import (
	"fmt"
	"path/filepath"
	"slices"

	"ottla/internal/metadata"
	"ottla/internal/storage"
)

// dirFailure gives up what lies in a log dir that went offline, and tells the
// controller. Without the metadata's dir, or any dir at all, the node cannot
// go on, which is the error.
func (n *Node) dirFailure(f storage.DirFailure) error {
	n.env.Log.Error("log dir is offline", "dir", f.Path, "error", f.Err)
	n.mu.Lock()
	n.offline = append(n.offline, f.ID)
	n.mu.Unlock()
	n.replicas.DirFailed(f)
	switch {
	case filepath.Clean(f.Path) == filepath.Clean(n.static.MetadataLogDir):
		return fmt.Errorf("the log dir of the metadata is offline: %w", f.Err)
	case len(n.storage.Dirs()) == 0:
		return fmt.Errorf("no log dir is online: %w", f.Err)
	}
	select {
	case n.dirFailed <- struct{}{}:
	default:
	}
	return nil
}

func (n *Node) offlineDirs() []metadata.UUID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.offline)
}
