package target

import (
	"os/exec"
	"runtime"
	"syscall"
)

// superviseProcess starts cmd, reports on started, and waits for its end. The
// kernel kills the child when the thread that started it ends, so that no
// broker outlives a killed test binary. Therefore the goroutine keeps its
// thread until the child has ended.
func superviseProcess(cmd *exec.Cmd, r *run, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	await(cmd, r, started)
}
