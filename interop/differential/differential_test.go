package differential

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
	if len(chosen) == 0 {
		t.Fatalf("no script is called %s", *only)
	}
	return chosen
}

// brokers holds one broker of each kind for all scripts with the same
// properties.
type brokers map[string]*target.Broker

func properties(s *Script) string { return strings.Join(s.Broker, " ") }

// startBrokers starts the required brokers of each kind concurrently.
func startBrokers(t *testing.T, scripts []*Script, kinds ...target.Kind) []brokers {
	t.Helper()
	out := make([]brokers, len(kinds))
	var starting sync.WaitGroup
	var mu sync.Mutex
	for i, kind := range kinds {
		out[i] = make(brokers)
		for _, s := range scripts {
			mu.Lock()
			_, begun := out[i][properties(s)]
			out[i][properties(s)] = nil
			mu.Unlock()
			if begun {
				continue
			}
			starting.Go(func() {
				b, err := target.Launch(t, target.Options{Kind: kind, Set: slices.Concat(common, s.Broker)})
				if err != nil {
					t.Errorf("starting %s: %v", kind, err)
				}
				mu.Lock()
				defer mu.Unlock()
				out[i][properties(s)] = b
			})
		}
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return out
}

// common is the configuration that a single Kafka node needs. Ottla gets it
// too, so that both describe these configs with the same source.
var common = []string{
	"node.id=1", "process.roles=broker,controller",
	"offsets.topic.replication.factor=1",
	"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
	"share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
}

// TestDifferential runs every script against Apache Kafka and against Ottla and
// compares the answers.
func TestDifferential(t *testing.T) {
	target.Jars(t)
	accepted, err := LoadAccepted(differencesPage)
	if err != nil {
		t.Fatal(err)
	}
	all := scripts(t)
	up := startBrokers(t, all, target.Kafka, target.Default())
	checkServed(t, up[0][properties(all[0])])
	for _, s := range all {
		kafka, ottla := up[0][properties(s)], up[1][properties(s)]
		t.Run(s.Name, func(t *testing.T) { compareScript(t, s, kafka, ottla, accepted) })
	}
	if *only == "" && target.Default() == target.Ottla {
		for _, rule := range accepted.Unused() {
			t.Errorf("%s lists a difference that does not exist: %s", differencesPage, rule)
		}
	}
}

func compareScript(t *testing.T, s *Script, kafka, ottla *target.Broker, accepted *Accepted) {
	for try := 1; ; try++ {
		differences := runBoth(t, s, kafka, ottla, try)
		differences = slices.DeleteFunc(differences, accepted.Covers)
		late := slices.ContainsFunc(differences, func(d Difference) bool { return d.Path == answeredPath })
		if late && try < mostTries {
			continue // a delay caused by a busy machine is not repeated
		}
		for _, d := range differences {
			t.Error(d)
		}
		return
	}
}

// mostTries is the maximum number of runs of a timed script until both sides
// agree.
const mostTries = 3

// runBoth runs a script against both brokers; a timed script runs on both at
// the same time.
func runBoth(t *testing.T, s *Script, kafka, ottla *target.Broker, try int) []Difference {
	t.Helper()
	var want, got []Answer
	var wantErr, gotErr error
	var running sync.WaitGroup
	running.Go(func() { want, wantErr = Run(kafka, s, try) })
	if !s.Timed {
		running.Wait()
	}
	running.Go(func() { got, gotErr = Run(ottla, s, try) })
	running.Wait()
	if wantErr != nil {
		t.Fatalf("against Kafka: %v", wantErr)
	}
	if gotErr != nil {
		t.Errorf("against %s: %v", ottla.Kind, gotErr)
	}
	return Compare(want, got)
}

// TestAnswers writes the answers of the target to files, for reading.
func TestAnswers(t *testing.T) {
	if *answersDir == "" {
		t.Skip("needs -answers")
	}
	if err := os.MkdirAll(*answersDir, 0o755); err != nil {
		t.Fatal(err)
	}
	all := scripts(t)
	up := startBrokers(t, all, target.Default())[0]
	for _, s := range all {
		b := up[properties(s)]
		t.Run(s.Name, func(t *testing.T) {
			answers, err := Run(b, s, 1)
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

// report prints answers under their statements. Consecutive versions with the
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
