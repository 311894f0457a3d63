package metadata

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"ottla/internal/schema/schematest"
)

// TestKafkaRecords reads records that Apache Kafka 4.3.1's own classes wrote,
// compares every field with Kafka's printed form, and checks that writing gives
// the same bytes.
func TestKafkaRecords(t *testing.T) {
	content, err := os.ReadFile("testdata/kafka_records.tsv")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		column := strings.Split(line, "\t")
		if len(column) != 5 {
			t.Fatalf("%d columns in %q", len(column), line)
		}
		raw, err := hex.DecodeString(column[3])
		if err != nil {
			t.Fatal(err)
		}
		version, err := strconv.Atoi(column[2])
		if err != nil {
			t.Fatal(err)
		}
		seen[column[1]] = true
		checkGolden(t, column[0] == "control", column[1], int16(version), raw, column[4])
	}
	if len(seen) != 26+5 {
		t.Errorf("goldens of %d records, want 31", len(seen))
	}
}

func checkGolden(t *testing.T, control bool, name string, version int16, raw []byte, want string) {
	t.Helper()
	var (
		m     any
		again []byte
	)
	if control {
		c := controlRecord(name)
		if err := c.Parse(raw, version); err != nil {
			t.Errorf("%s %x: %v", name, raw, err)
			return
		}
		m, again = c, c.AppendTo(nil, version)
	} else {
		r, err := ParseValue(raw)
		if err != nil {
			t.Errorf("%s %x: %v", name, raw, err)
			return
		}
		m, again = r, r.AppendTo(append([]byte(nil), 1, byte(r.APIKey()), byte(version)), version)
	}
	if got := java.String(reflect.ValueOf(m).Elem()); got != want {
		t.Errorf("%x\ngot  %s\nwant %s", raw, got, want)
	}
	if !bytes.Equal(again, raw) {
		t.Errorf("%s version %d\ngot  %x\nwant %x", name, version, again, raw)
	}
}

type controlValue interface {
	Parse(src []byte, version int16) error
	AppendTo(dst []byte, version int16) []byte
}

func controlRecord(name string) controlValue {
	return map[string]controlValue{
		"LeaderChangeMessage": &LeaderChangeMessage{}, "SnapshotHeaderRecord": &SnapshotHeaderRecord{},
		"SnapshotFooterRecord": &SnapshotFooterRecord{}, "KRaftVersionRecord": &KRaftVersionRecord{},
		"VotersRecord": &VotersRecord{},
	}[name]
}

// java lists the differences of Kafka's classes.
var java = schematest.Java{
	Types: map[string]string{"QuotaEntity": "EntityData", "LeaderChangeVoter": "Voter", "VoterEndpoint": "Endpoint"}, Null: javaNull,
}

// javaNull tells which nil lists are null in the schema, not empty.
func javaNull(record, field string) bool {
	switch field {
	case "CordonedLogDirs", "EligibleLeaderReplicas", "LastKnownELR":
		return true
	}
	return record == "PartitionChangeRecord"
}

// TestKafkaQuorumState compares the format with lines that Kafka's
// FileQuorumStateStore wrote.
func TestKafkaQuorumState(t *testing.T) {
	voted, err := ParseUUID("J8aAPcfLQt2bqs1JT_rMgQ")
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]QuorumState{
		`{"leaderId":-1,"leaderEpoch":0,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}`: {LeaderID: -1, VotedID: -1, Version: 1},
		`{"leaderId":3,"leaderEpoch":7,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}`:  {LeaderID: 3, LeaderEpoch: 7, VotedID: -1, Version: 1},
		`{"leaderId":-1,"leaderEpoch":5,"votedId":2,"votedDirectoryId":"J8aAPcfLQt2bqs1JT_rMgQ","data_version":1}`:  {LeaderID: -1, LeaderEpoch: 5, VotedID: 2, VotedDirectoryID: voted, Version: 1},
		`{"clusterId":"","leaderId":3,"leaderEpoch":7,"votedId":2,"appliedOffset":0,"currentVoters":[{"voterId":3}],"data_version":0}`: {
			LeaderID: 3, LeaderEpoch: 7, VotedID: 2, Voters: []int32{3}},
		`{"clusterId":"","leaderId":-1,"leaderEpoch":1,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1},{"voterId":2}],"data_version":0}`: {
			LeaderID: -1, LeaderEpoch: 1, VotedID: -1, Voters: []int32{1, 2}},
	} {
		got, err := ParseQuorumState([]byte(line))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", line, got, err, want)
		}
		if again := string(want.Append(nil)); again != line {
			t.Errorf("got  %s\nwant %s", again, line)
		}
	}
}

func TestQuorumStateErrors(t *testing.T) {
	for _, line := range []string{
		"", "{", "[]", `{"leaderId":1,"leaderEpoch":1,"votedId":1}`,
		`{"leaderId":1,"leaderEpoch":1,"votedId":1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":2}`,
		`{"leaderId":1,"leaderEpoch":1,"votedId":1,"data_version":1}`,
		`{"leaderId":1,"leaderEpoch":1,"votedId":1,"votedDirectoryId":"AAAA","data_version":1}`,
		`{"leaderId":1,"votedId":1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}`,
		`{"leaderId":1,"leaderEpoch":4294967296,"votedId":1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}`,
	} {
		if s, err := ParseQuorumState([]byte(line)); err == nil {
			t.Errorf("%s: accepted as %+v", line, s)
		}
	}
}
