package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestGeneratedCodeIsFresh fails when a schema or the generator was changed
// without `go generate` of the package.
func TestGeneratedCodeIsFresh(t *testing.T) {
	for _, pkg := range []string{"metadata", "group"} {
		folder := "../../" + pkg + "/"
		schema, err := os.ReadFile(folder + schemaFile)
		if err != nil {
			t.Fatal(err)
		}
		want, err := generate(string(schema), pkg)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(folder + outputFile)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go generate ./internal/%s", folder+outputFile, pkg)
		}
	}
}

func TestSchemaErrors(t *testing.T) {
	for schema, want := range map[string]string{
		"record A":                           "want record NAME KEY VERSIONS",
		"record A x 0":                       "invalid syntax",
		"key A x":                            "invalid syntax",
		"record A 1 0\n  F int8":             "want FIELD TYPE VERSIONS",
		"record A 1 0\n  F int8 0+ shiny":    "unknown attribute",
		"record A 1 0\n    F int8 0+":        "indented below nothing",
		"record A 1 0\n  F int8 x+":          "invalid syntax",
		"record A 1 0\n  F int8 0+ tag=none": "invalid syntax",
		"record A 1 0\n  F []S 0+\n    X int8 0+\n  G []S 0+\n    X int16 0+": "declared twice",
	} {
		if _, err := generate(schema, "p"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", schema, err, want)
		}
	}
}

func TestGoName(t *testing.T) {
	for kafka, want := range map[string]string{
		"TopicId": "TopicID", "Isr": "ISR", "LastKnownElr": "LastKnownELR", "KRaftVersion": "KRaftVersion",
		"VoterDirectoryId": "VoterDirectoryID", "EndPoints": "EndPoints", "Id": "ID",
	} {
		if got := goName(kafka); got != want {
			t.Errorf("%s: %s, want %s", kafka, got, want)
		}
	}
}
