package crash

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestJudge shows that judge finds each kind of fault.
func TestJudge(t *testing.T) {
	record := func(offset int64, value string) *kgo.Record { return &kgo.Record{Offset: offset, Value: []byte(value)} }
	good := []*kgo.Record{record(0, "1 0 0"), record(1, "2 0 0"), record(2, "1 0 1")}
	for name, c := range map[string]struct {
		records []*kgo.Record
		acked   map[position]string
		faults  int
	}{
		"good":        {good, map[position]string{{0, 2}: "1 0 1"}, 0},
		"lost":        {good[:2], map[position]string{{0, 2}: "1 0 1"}, 1},
		"elsewhere":   {good, map[position]string{{0, 1}: "1 0 1"}, 1},
		"twice":       {append(good[:3:3], record(3, "2 0 0")), nil, 2}, // and out of order
		"gap":         {[]*kgo.Record{record(0, "1 0 0"), record(2, "1 0 1")}, nil, 1},
		"order":       {[]*kgo.Record{record(0, "1 0 1"), record(1, "1 0 0")}, nil, 1},
		"not written": {[]*kgo.Record{record(0, "nonsense")}, nil, 1},
	} {
		if faults := judge(c.records, c.acked); len(faults) != c.faults {
			t.Errorf("%s: %d faults, want %d: %q", name, len(faults), c.faults, faults)
		}
	}
}
