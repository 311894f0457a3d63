package target

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// smallJVM is sufficient for the small topics of the suite on a shared machine.
var smallJVM = []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}

// prepareKafka writes server.properties. It formats the data folder if this has
// not been done.
func (b *Broker) prepareKafka(t Scope, opts Options) error {
	jars := Jars(t)
	port, err := FreePort()
	if err != nil {
		return err
	}
	controller, err := FreePort()
	if err != nil {
		return err
	}
	b.Addr = fmt.Sprintf("127.0.0.1:%d", port)
	b.Dir = opts.Dir
	format := opts.Format
	if format == nil {
		format = []string{"--standalone"}
	}
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte(kafkaProperties(b, controller, slices.Contains(format, "--standalone"), opts.Set)), 0o644); err != nil {
		return err
	}
	b.Properties = file
	b.env = []string{"LC_ALL=C.UTF-8"}
	flags := opts.JVM
	if flags == nil {
		flags = smallJVM
	}
	b.argv = append([]string{"java"}, flags...)
	b.argv = append(b.argv, quietJava, "-cp", jars, "kafka.Kafka", file)
	if _, err := os.Stat(filepath.Join(b.Dir, "meta.properties")); err == nil {
		return nil
	}
	argv := append([]string{"-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", jars,
		"kafka.tools.StorageTool", "format", "-t", "T3R0bGEtaW50ZXJvcC0wMA", "-c", file}, format...)
	if out, err := exec.Command("java", argv...).CombinedOutput(); err != nil {
		return fmt.Errorf("formatting: %w\n%s", err, out)
	}
	return nil
}

// kafkaProperties returns the properties of a combined broker and controller.
func kafkaProperties(b *Broker, controllerPort int, standalone bool, set []string) string {
	quorum := fmt.Sprintf("controller.quorum.bootstrap.servers=127.0.0.1:%d", controllerPort)
	if !standalone {
		quorum = fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d", controllerPort)
	}
	lines := []string{
		"process.roles=broker,controller",
		"node.id=1",
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d", b.Addr, controllerPort),
		"advertised.listeners=PLAINTEXT://" + b.Addr,
		"controller.listener.names=CONTROLLER",
		quorum,
	}
	if !slices.ContainsFunc(set, func(kv string) bool { return strings.HasPrefix(kv, "log.dirs=") }) {
		lines = append(lines, "log.dirs="+b.Dir)
	}
	return strings.Join(append(lines, set...), "\n") + "\n"
}
