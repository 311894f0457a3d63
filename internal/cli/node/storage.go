package node

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"ottla/internal/cli"
	"ottla/internal/vfs"
)

func storageCommand(app *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "storage",
		Short: "Inspect the log dirs of a stopped node, Ottla's or Kafka's",
		Args:  cli.UsageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(storageCheck(app), storageVerify(app), storageDump(app))
	return cmd
}

// lockFile is the name of the file that a running node keeps locked. It is
// Kafka's name.
const lockFile = ".lock"

// lockDir takes the lock of a log dir, or of the log dir that contains a
// partition's folder, so that no node can start there meanwhile. It creates no
// file. If the lock file cannot be opened for writing, lockDir takes no lock:
// either no node can run there, or the dir belongs to another user. The dir is
// then read as it is.
func lockDir(fsys vfs.FS, dir string) (unlock func(), err error) {
	unlock = func() {}
	for _, folder := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		name := filepath.Join(folder, lockFile)
		if _, err := fsys.Stat(name); err != nil {
			continue
		}
		lock, err := fsys.Lock(name)
		switch {
		case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		case err != nil:
			return unlock, err
		default:
			return func() { _ = lock.Close() }, nil
		}
		return unlock, nil
	}
	return unlock, nil
}
