package target

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// smallJVM is enough for the small topics of the suite on a shared machine.
var smallJVM = []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}

// prepareKafka writes server.properties, and formats the data folder unless it
// was formatted before.
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
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte(kafkaProperties(b, controller, opts.Set)), 0o644); err != nil {
		return err
	}
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
	format := exec.Command("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", jars,
		"kafka.tools.StorageTool", "format", "--standalone", "-t", "T3R0bGEtaW50ZXJvcC0wMA", "-c", file)
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("formatting: %w\n%s", err, out)
	}
	return nil
}

// kafkaProperties describes a combined broker and controller.
func kafkaProperties(b *Broker, controllerPort int, set []string) string {
	lines := []string{
		"process.roles=broker,controller",
		"node.id=1",
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d", b.Addr, controllerPort),
		"advertised.listeners=PLAINTEXT://" + b.Addr,
		"controller.listener.names=CONTROLLER",
		fmt.Sprintf("controller.quorum.bootstrap.servers=127.0.0.1:%d", controllerPort),
		"log.dirs=" + b.Dir,
	}
	return strings.Join(append(lines, set...), "\n") + "\n"
}
