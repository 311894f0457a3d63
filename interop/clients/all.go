package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ottla/interop/target"
)

// Factory starts one type of client.
type Factory struct {
	Name string
	// Start connects the client to a broker. The client is closed at the end of
	// the test. If a peer is missing, the test is skipped or fails.
	Start func(t testing.TB, addr string) Client
}

// All lists the clients of the matrix.
func All() []Factory {
	return []Factory{
		{"franz-go", func(_ testing.TB, addr string) Client { return NewFranz(addr) }},
		{"sarama", func(_ testing.TB, addr string) Client { return &saramaClient{addr} }},
		{"kafka-go", func(_ testing.TB, addr string) Client { return &kafkaGo{addr} }},
		{"kcat", func(t testing.TB, addr string) Client {
			return &kcat{program: target.Program(t, "kcat"), addr: addr, dir: t.TempDir()}
		}},
		{"java", func(t testing.TB, addr string) Client { return StartJava(t, addr) }},
		{"confluent-kafka", python("confluent.py", confluentAbilities)},
		{"kafka-python", python("kafkapython.py", kafkaPythonAbilities)},
		{"aiokafka", python("aio.py", aiokafkaAbilities)},
		{"kafkajs", node("kafkajs.cjs", kafkajsAbilities)},
		{"platformatic-kafka", node("platformatic.cjs", platformaticAbilities)},
	}
}

var full = Abilities{
	Codecs: allCodecs, Acks: allAcks, Admin: true, Consume: true, Idempotent: true, Timestamps: true,
	Headers: true, NullHeader: true, EmptyKey: true, EmptyValue: true, NullBoth: true, RepeatedHeaders: true,
}

var confluentAbilities = full

var kafkaPythonAbilities = func() Abilities {
	a := full
	a.NullBoth = false // the client refuses such a record
	a.NullHeader = false
	return a
}()

var aiokafkaAbilities = func() Abilities {
	a := full
	a.NullBoth = false // the client refuses such a record
	a.NullHeader = false
	return a
}()

var kafkajsAbilities = func() Abilities {
	a := full
	a.Consume = false // its consumer needs a group
	a.NullHeader = false
	a.RepeatedHeaders = false // headers are an object, ordered by name
	return a
}()

var platformaticAbilities = full

// Command is the command line of a program that gets more arguments appended.
type Command struct {
	Argv, Env []string
}

// start runs a client program until the end of the test.
func start(t testing.TB, a Abilities, c Command, addr string) *Process {
	t.Helper()
	p, err := StartProcess(a, c.Env, addr, c.Argv...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("%s: %v", c.Argv[0], err)
		}
	})
	return p
}

// StartJava compiles interop/java and runs its Client.
func StartJava(t testing.TB, addr string) *Process {
	t.Helper()
	return start(t, full, Java(t, "Client"), addr)
}

// Java compiles interop/java and returns the command for one of its classes.
func Java(t testing.TB, class string) Command {
	t.Helper()
	jars := target.Jars(t)
	sources, err := filepath.Glob(filepath.Join(sourceDir(t), "java", "*.java"))
	if err != nil {
		t.Fatal(err)
	}
	classes := t.TempDir()
	javac := exec.Command(target.Program(t, "javac"), append([]string{"-proc:none", "-cp", jars, "-d", classes}, sources...)...)
	if out, err := javac.CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	path := classes + string(os.PathListSeparator) + jars
	return Command{Argv: []string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", path, class}}
}

// Python is the command for a script of interop/python.
func Python(t testing.TB, script string) Command {
	t.Helper()
	interpreter := target.Installed(t, "python", "bin", "python")
	return Command{Argv: []string{interpreter, filepath.Join(sourceDir(t), "python", script)}, Env: []string{"PYTHONDONTWRITEBYTECODE=1"}}
}

// Node is the command for a script of interop/node.
func Node(t testing.TB, script string) Command {
	t.Helper()
	modules := target.Installed(t, "node", "node_modules")
	return Command{
		Argv: []string{nodeProgram(t, modules), filepath.Join(sourceDir(t), "node", script)},
		Env:  []string{"NODE_PATH=" + modules, "NODE_NO_WARNINGS=1"},
	}
}

func python(script string, a Abilities) func(testing.TB, string) Client {
	return func(t testing.TB, addr string) Client { return start(t, a, Python(t, script), addr) }
}

func node(script string, a Abilities) func(testing.TB, string) Client {
	return func(t testing.TB, addr string) Client { return start(t, a, Node(t, script), addr) }
}

// nodeProgram is the Node that was installed with the packages, or the
// system's.
func nodeProgram(t testing.TB, modules string) string {
	own, err := filepath.Glob(filepath.Join(modules, "node-linux-*", "bin", "node"))
	if err == nil && len(own) > 0 {
		return own[0]
	}
	return target.Program(t, "node")
}

// sourceDir is the path of the folder interop.
func sourceDir(t testing.TB) string {
	t.Helper()
	root, err := target.ModuleRoot()
	if err != nil {
		t.Fatal(fmt.Errorf("finding the client programs: %w", err))
	}
	return filepath.Join(root, "interop")
}
