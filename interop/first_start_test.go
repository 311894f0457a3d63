package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ottla/interop/target"
)

// TestKafkaAfterACrashOfOttlasFirstStart opens with Kafka a sample of the
// folders that TestCrashOnKafkasFolder of internal/broker makes: folders of
// Kafka on which Ottla crashed during or shortly after its first start.
// Everything that the model assumes about Kafka's records must be true for
// Kafka itself.
func TestKafkaAfterACrashOfOttlasFirstStart(t *testing.T) {
	target.Jars(t)
	if !target.Long() {
		return // the model is in internal/broker
	}
	root, err := target.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	kept := t.TempDir()
	model := exec.Command("go", "test", "./internal/broker", "-count=1", "-run", "^TestCrashOnKafkasFolder$", "-keep", kept)
	model.Dir = root
	if out, err := model.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	folders, err := os.ReadDir(kept)
	if err != nil || len(folders) < 6 {
		t.Fatalf("%d folders, %v", len(folders), err)
	}
	for _, d := range folders {
		format := []string{"--standalone"}
		set := append(loneTransactions, guarded...)
		if strings.HasPrefix(d.Name(), "killed") {
			format, set = []string{"--release-version", "3.3-IV3"}, loneTransactions
		}
		kafka := target.Start(t, target.Options{Kind: target.Kafka, Dir: filepath.Join(kept, d.Name()), Format: format, Set: set})
		for p, values := range goldenValues {
			got := Look(t, kafka.Addr, "orders", int32(p)).Records
			for i, want := range values {
				if len(got) <= i || string(got[i].Value) != want {
					t.Errorf("%s: orders-%d holds %v, want %q first", d.Name(), p, got, values)
					break
				}
			}
		}
		if got := Look(t, kafka.Addr, "payments", 0); len(got.Records) != 3 || len(got.Committed) != 1 {
			t.Errorf("%s: payments holds %d records, %d of them committed", d.Name(), len(got.Records), len(got.Committed))
		}
		if len(set) > len(loneTransactions) {
			if got := guards(t, kafka.Addr); len(got) < 4 {
				t.Errorf("%s: Kafka has ACLs, users and quotas %q", d.Name(), got)
			}
		}
		kafka.Kill()
	}
}
