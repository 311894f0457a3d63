package target

import (
	"os"
	"os/exec"
	"path/filepath"
)

// quietJava limits slf4j-simple to warnings.
const quietJava = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"

// Required reports whether a missing peer is a failure (OTTLA_PEERS=required,
// as in CI). Otherwise its tests are skipped.
func Required() bool { return os.Getenv("OTTLA_PEERS") == "required" }

// Long reports whether the long form of the suite was requested.
func Long() bool { return os.Getenv("OTTLA_TEST") == "long" }

// Missing ends a test whose peer is missing. It skips the test with a message,
// or fails it if peers are required.
func Missing(t Scope, what string) {
	t.Helper()
	if Required() {
		t.Fatalf("peer missing: %s (scripts/peers.sh installs it)", what)
	}
	t.Skipf("peer missing: %s (scripts/peers.sh installs it)", what)
}

// Program finds an executable on the PATH or ends the test.
func Program(t Scope, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name)
	}
	return path
}

// PeersDir is the folder into which scripts/peers.sh installs: OTTLA_PEERS_DIR,
// or .peers in the repository.
func PeersDir(t Scope) string {
	t.Helper()
	if dir := os.Getenv("OTTLA_PEERS_DIR"); dir != "" {
		return dir
	}
	root, err := ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, ".peers")
}

// Installed returns the path of a file below PeersDir or ends the test.
func Installed(t Scope, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{PeersDir(t)}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		Missing(t, path)
	}
	return path
}

// Jars is the class path of Apache Kafka: broker, tools and clients.
func Jars(t Scope) string {
	t.Helper()
	Program(t, "java")
	Installed(t, "java", "kafka_2.13-4.3.1.jar")
	return filepath.Join(PeersDir(t), "java", "*")
}
