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

// lockFile is Kafka's name of the file that a running node has locked.
const lockFile = ".lock"

// lockDir takes the lock of a log dir, or of the one that a partition's folder
// lies in, so that no node starts there meanwhile; it makes no file. Where the
// file may not be opened for writing nobody can run either, or it is somebody
// else's dir: it is read as it is.
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
