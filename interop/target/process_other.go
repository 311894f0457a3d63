//go:build !linux

package target

import "os/exec"

// superviseProcess starts cmd, reports on started, and waits for its end.
func superviseProcess(cmd *exec.Cmd, r *run, started chan<- error) {
	await(cmd, r, started)
}
