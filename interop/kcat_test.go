package interop

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"ottla/interop/clients"
	"ottla/interop/target"
)

// TestKcatQueries makes common kcat queries: the existing topics, and the
// offset of a time.
func TestKcatQueries(t *testing.T) {
	program := target.Program(t, "kcat")
	broker := target.Start(t, target.Options{})
	franz := clients.NewFranz(broker.Addr)
	if err := franz.Create(callContext(t), "queries", 2, nil); err != nil {
		t.Fatal(err)
	}
	var records []clients.Record
	for i := range int64(10) {
		records = append(records, clients.Record{Value: []byte("v"), Timestamp: baseTime + 10*i})
	}
	if _, err := franz.Produce(callContext(t), clients.Produce{
		Topic: "queries", Partition: 1, Acks: "all", Codec: "gzip", Records: records,
	}); err != nil {
		t.Fatal(err)
	}
	at := "queries:1:" + strconv.Itoa(baseTime+45)
	for _, c := range []struct{ args, want string }{
		{"-L -J -t queries", `{"topic":"queries","partitions":[{"partition":0,"leader":1,"replicas":[{"id":1}],"isrs":[{"id":1}]},{"partition":1,"leader":1`},
		{"-L -t queries", `topic "queries" with 2 partitions`},
		{"-Q -t " + at, "queries [1] offset 5"},
		{"-Q -t queries:1:-1", "queries [1] offset 10"},
		{"-Q -t queries:1:-2", "queries [1] offset 0"},
		{"-C -t queries -p 1 -o -2 -e -q -f %o,", "8,9,"},
	} {
		out, err := exec.CommandContext(callContext(t), program, append([]string{"-b", broker.Addr}, strings.Fields(c.args)...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("kcat %s: %v, want %q in\n%s", c.args, err, c.want, out)
		}
	}
}
