package interop

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ottla/interop/target"
)

// toolLimit is the limit of one run of a console tool.
const toolLimit = time.Minute

// runTool runs the main class of a Kafka command line tool and returns its
// combined output. err is the exit status.
func runTool(t testing.TB, stdin, class string, args ...string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), toolLimit)
	defer cancel()
	argv := append([]string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", target.Jars(t), class}, args...)
	cmd := exec.CommandContext(ctx, "java", argv...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

// combined runs a program and returns its combined output.
func combined(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	return string(out), err
}
