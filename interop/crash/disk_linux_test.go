package crash

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"ottla/interop/target"
)

// disk is an ext4 file system in a file on a loop device. Its power can be cut:
// data that was not fsynced is then lost.
type disk struct {
	image string
	dir   string // mount point
}

// diskBytes is the size of the image; the file is sparse.
const diskBytes = 512 << 20

// newDisk creates and mounts a disk. If this is impossible, it ends the test.
// It unmounts the disk at the end of the test.
func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		target.Missing(t, "root, to mount a disk whose power can be cut")
	}
	for _, program := range []string{"mkfs.ext4", "e2fsck", "mount", "umount"} {
		target.Program(t, program)
	}
	sweepDisks(t)
	home, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", diskPrefix, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	d := &disk{image: filepath.Join(home, "disk.img"), dir: filepath.Join(home, "disk")}
	if err := d.format(); err != nil {
		t.Fatal(err)
	}
	if err := d.mount(); err != nil {
		target.Missing(t, fmt.Sprintf("the right to mount ext4 on a loop device (%v)", err))
	}
	t.Cleanup(func() {
		if err := d.unmount(); err != nil {
			// Lazy, so that the folder can be removed: the kernel detaches the
			// loop device when the last file on it is closed.
			t.Error(errors.Join(err, syscall.Unmount(d.dir, syscall.MNT_DETACH)))
		}
	})
	return d
}

// diskPrefix is the prefix of a disk's folder; the process id follows.
const diskPrefix = "ottla-power-"

// sweepDisks removes the disks of test processes that were killed.
func sweepDisks(t *testing.T) {
	t.Helper()
	homes, err := filepath.Glob(filepath.Join(os.TempDir(), diskPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, home := range homes {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(home), diskPrefix+"%d-", &pid); err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		_ = syscall.Unmount(filepath.Join(home, "disk"), syscall.MNT_DETACH) // it may not be mounted
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	}
}

func (d *disk) format() error {
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return err
	}
	file, err := os.Create(d.image)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(diskBytes), file.Close()); err != nil {
		return err
	}
	return command("mkfs.ext4", "-q", "-F", d.image)
}

func (d *disk) mount() error   { return command("mount", "-o", "loop", d.image, d.dir) }
func (d *disk) unmount() error { return command("umount", d.dir) }

// cut stops all I/O of the file system at once, without writing its journal,
// with the ioctl EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH. From then
// on every operation fails with EIO. Files stay open until their owners end.
func (d *disk) cut() error {
	const shutdown, noLogFlush = 0x8004587d, 2
	dir, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	flags := uint32(noLogFlush)
	if _, _, code := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); code != 0 {
		return fmt.Errorf("cutting the power of %s: %w", d.dir, code)
	}
	return nil
}

// power brings the disk back after cut. No process may have a file on it open.
// Mounting replays the journal. After that the file system must be clean;
// otherwise the test would blame the broker for an error of the machine.
func (d *disk) power() error {
	for _, step := range []func() error{
		d.unmount, d.mount, d.unmount,
		func() error { return command("e2fsck", "-fn", d.image) },
		d.mount,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func command(argv ...string) error {
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", argv, err, out)
	}
	return nil
}
