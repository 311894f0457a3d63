package target

import "os/exec"

func await(cmd *exec.Cmd, r *run, started chan<- error) {
	err := cmd.Start()
	if err == nil {
		r.pid = cmd.Process.Pid
	}
	started <- err
	if err != nil {
		return
	}
	r.err = cmd.Wait()
	close(r.done)
}
