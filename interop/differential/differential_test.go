package differential

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ottla/interop/target"
)

var (
	answersDir = flag.String("answers", "", "folder for TestAnswers to write answers into")
	only       = flag.String("script", "", "run only the scripts whose name contains this")
)

const differencesPage = "../../docs/differences.md"

func TestMain(m *testing.M) { os.Exit(target.Main(m)) }

func scripts(t *testing.T) []*Script {
	t.Helper()
	all, err := LoadScripts("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var chosen []*Script
	for _, s := range all {
		if strings.Contains(s.Name, *only) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// brokers starts what the scripts need, one broker for all scripts that ask
// for the same properties.
type brokers struct {
	kind target.Kind
	up   map[string]*target.Broker
}

func (b *brokers) of(t *testing.T, s *Script) *target.Broker {
	t.Helper()
	key := strings.Join(s.Broker, " ")
	if b.up[key] == nil {
		b.up[key] = target.Start(t, target.Options{Kind: b.kind, Set: append(common, s.Broker...)})
	}
	return b.up[key]
}

// common is what a single node of Kafka needs to be told, and Ottla is told too:
// the configs that both describe then have the same source.
var common = []string{
	"node.id=1", "process.roles=broker,controller",
	"offsets.topic.replication.factor=1",
	"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
	"share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
}

// TestDifferential is the comparison: every script against Apache Kafka and
// against Ottla.
func TestDifferential(t *testing.T) {
	target.Jars(t)
	accepted, err := LoadAccepted(differencesPage)
	if err != nil {
		t.Fatal(err)
	}
	oracle := &brokers{target.Kafka, make(map[string]*target.Broker)}
	tested := &brokers{target.Default(), make(map[string]*target.Broker)}
	for _, s := range scripts(t) {
		kafka, ottla := oracle.of(t, s), tested.of(t, s)
		t.Run(s.Name, func(t *testing.T) { compareScript(t, s, kafka, ottla, accepted) })
	}
	if *only == "" && target.Default() == target.Ottla {
		for _, rule := range accepted.Unused() {
			t.Errorf("%s states a difference that is none: %s", differencesPage, rule)
		}
	}
}

func compareScript(t *testing.T, s *Script, kafka, ottla *target.Broker, accepted *Accepted) {
	want, err := Run(kafka, s)
	if err != nil {
		t.Fatalf("against Kafka: %v", err)
	}
	got, err := Run(ottla, s)
	if err != nil {
		t.Errorf("against %s: %v", ottla.Kind, err)
	}
	for _, d := range Compare(want, got) {
		if !accepted.Covers(d) {
			t.Error(d)
		}
	}
}

// TestAnswers writes what the target answers, for reading.
func TestAnswers(t *testing.T) {
	if *answersDir == "" {
		t.Skip("writes answers for reading only when -answers names a folder")
	}
	if err := os.MkdirAll(*answersDir, 0o755); err != nil {
		t.Fatal(err)
	}
	up := &brokers{target.Default(), make(map[string]*target.Broker)}
	for _, s := range scripts(t) {
		b := up.of(t, s)
		t.Run(s.Name, func(t *testing.T) {
			answers, err := Run(b, s)
			if err != nil {
				t.Error(err)
			}
			file := filepath.Join(*answersDir, s.Name+".txt")
			if err := os.WriteFile(file, []byte(report(s, answers)), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// report prints answers under their statements; neighbouring versions with the
// same answer are printed once.
func report(s *Script, answers []Answer) string {
	texts := make(map[string]string)
	for _, step := range s.Steps {
		texts[s.Name+"/"+step.Case] = step.Text
	}
	var out strings.Builder
	for i := 0; i < len(answers); {
		a, end := answers[i], i+1
		for end < len(answers) && answers[end].Case == a.Case && body(answers[end]) == body(a) {
			end++
		}
		versions := fmt.Sprintf("v%d", a.Version)
		if last := answers[end-1].Version; last != a.Version {
			versions += fmt.Sprintf("..v%d", last)
		}
		fmt.Fprintf(&out, "%s %s %s  %s\n%s\n", strings.TrimPrefix(a.Case, s.Name+"/"), a.API, versions, texts[a.Case], body(a))
		i = end
	}
	return out.String()
}

func body(a Answer) string {
	return strings.ReplaceAll(text(a.Lines), fmt.Sprintf("v%d", a.Version), "$v")
}
