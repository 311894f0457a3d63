package interop

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// dumpTrouble matches the output of Kafka's DumpLogSegments about a damaged
// file. The exit code of the tool is 0 in any case. Two messages are excluded:
//
//   - The heading "Non-consecutive offsets in". Version 4.3.1 prints it for
//     every segment except the first, with "-1 is followed by" the segment's
//     base offset.
//   - "Found timestamp mismatch" with "log timestamp: -1". The tool computes
//     the largest timestamp of a batch from its records, and compaction may
//     leave a batch without records.
var dumpTrouble = regexp.MustCompile(`isvalid: false|Mismatches in|log timestamp: [0-9]|Found out of order timestamp|` +
	`indexed offsets are not found|^\s*[0-9]+ is followed by|Error at|Failed to|Exception`)

// CheckFiles reads a data folder with Kafka's DumpLogSegments: every log
// segment with each record, every index against its log, every producer
// snapshot, and the metadata log and its snapshots with each record. No broker
// may have the folder open. It returns the tool's output about the metadata
// log.
func CheckFiles(t testing.TB, dir string) (metadata string) {
	t.Helper()
	logs, meta := dataFiles(t, dir)
	if len(logs) == 0 || len(meta) == 0 {
		t.Fatalf("%s holds %d files of topics and %d of metadata", dir, len(logs), len(meta))
	}
	checkDump(t, "--deep-iteration", "--files", strings.Join(logs, ","))
	return checkDump(t, "--deep-iteration", "--cluster-metadata-decoder", "--files", strings.Join(meta, ","))
}

// CheckIndexes checks that each index passes the check that Kafka makes before
// it uses the index.
func CheckIndexes(t testing.TB, dir string) {
	t.Helper()
	logs, _ := dataFiles(t, dir)
	var indexes []string
	for _, file := range logs {
		if ext := filepath.Ext(file); ext == ".index" || ext == ".timeindex" { // the tool has no check for a .txnindex
			indexes = append(indexes, file)
		}
	}
	out := checkDump(t, "--index-sanity-check", "--files", strings.Join(indexes, ","))
	passed := strings.Count(out, "passed sanity check") + strings.Count(out, "index is empty")
	if passed != len(indexes) {
		t.Errorf("%d of %d indexes passed the sanity check:\n%s", passed, len(indexes), out)
	}
}

// printedRecord matches the beginning of a record's line in the output of
// DumpLogSegments.
var printedRecord = regexp.MustCompile(`(?m)^\| offset: ([0-9]+) `)

// CheckRecords lets DumpLogSegments print a partition's records with key, value
// and headers. They must be the offsets from 0 to n-1, each once.
func CheckRecords(t testing.TB, dir, partition string, n int) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, partition, "*.log"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%s has no segments: %v", partition, err)
	}
	out := checkDump(t, "--print-data-log", "--files", strings.Join(segments, ","))
	next := 0
	for _, line := range printedRecord.FindAllStringSubmatch(out, -1) {
		if line[1] != strconv.Itoa(next) {
			t.Fatalf("%s: record %s follows %d", partition, line[1], next-1)
		}
		next++
	}
	if next != n {
		t.Errorf("%s: DumpLogSegments prints %d records, want %d", partition, next, n)
	}
}

func checkDump(t testing.TB, args ...string) string {
	t.Helper()
	out, err := runTool(t, "", "org.apache.kafka.tools.DumpLogSegments", args...)
	if err != nil {
		t.Fatalf("DumpLogSegments %v: %v\n%s", args, err, out)
	}
	for _, line := range strings.Split(out, "\n") {
		if dumpTrouble.MatchString(line) {
			t.Errorf("DumpLogSegments: %s", line)
		}
	}
	return out
}

// dataFiles lists the files that DumpLogSegments can read.
func dataFiles(t testing.TB, dir string) (logs, metadata []string) {
	t.Helper()
	readable := map[string]bool{".log": true, ".index": true, ".timeindex": true, ".snapshot": true, ".txnindex": true, ".checkpoint": true}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch folder := filepath.Base(filepath.Dir(path)); {
		case err != nil:
			return fmt.Errorf("listing %s: %w", dir, err)
		case d.IsDir() || !readable[filepath.Ext(path)]:
		case folder == "__cluster_metadata-0" && (filepath.Ext(path) == ".log" || filepath.Ext(path) == ".checkpoint"):
			metadata = append(metadata, path)
		case folder != "__cluster_metadata-0" && filepath.Dir(path) != dir:
			logs = append(logs, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return logs, metadata
}
