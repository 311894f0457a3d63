// Command gen writes the Go types of Kafka's records from a schema:
// `go run ottla/internal/schema/gen` in the folder of a package reads its
// schema.txt and writes its records_gen.go. `go generate` of that package runs
// it.
//
// A schema.txt says, one a line:
//
//	record NAME KEY VERSIONS    a record of __cluster_metadata
//	value NAME VERSIONS         a control record, or the value of an internal topic's record
//	key NAME KIND               the key of an internal topic's record
//	  FIELD TYPE VERSIONS [nullable] [tag=N] [default=V]
//
// TYPE is a primitive, a struct, or either of them behind []; the fields of a
// struct follow its field, indented by two more spaces. Records and values are
// flexible in every version (KIP-482): compact lengths, and tagged fields after
// each struct; a struct may be null when it is tagged. The default empty is a
// nullable list or struct that is there, without content. Keys are not flexible,
// and have primitives alone. VERSIONS of a field are those it is part of; a
// field of fewer versions than its record takes its default in the others. A
// line that begins with // is the Go comment of what follows it, one with # is
// for readers of the schema.
//
// parse.go reads the schema, emit.go writes the Go.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

const (
	schemaFile = "schema.txt"
	outputFile = "records_gen.go"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	folder, err := os.Getwd()
	if err != nil {
		return err
	}
	schema, err := os.ReadFile(schemaFile)
	if err != nil {
		return err
	}
	code, err := generate(string(schema), filepath.Base(folder))
	if err != nil {
		return err
	}
	return os.WriteFile(outputFile, code, 0o644)
}

// generate is the whole program without its files: it writes the Go of a
// package.
func generate(schema, pkg string) ([]byte, error) {
	messages, err := parse(schema)
	if err != nil {
		return nil, err
	}
	return emit(messages, pkg)
}
