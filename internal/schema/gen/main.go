// Command gen generates the Go types of Kafka's records from a schema. `go run
// ottla/internal/schema/gen` in the folder of a package reads its schema.txt
// and writes its records_gen.go. `go generate` of that package runs it.
//
// A schema.txt contains, one per line:
//
//	record NAME KEY VERSIONS    a record of __cluster_metadata
//	value NAME VERSIONS         a control record, or the value of an internal topic's record
//	key NAME KIND               the key of an internal topic's record
//	  FIELD TYPE VERSIONS [nullable] [tag=N] [default=V]
//
// TYPE is a primitive, a struct, or either of them after []. The fields of a
// struct follow its field, indented by two more spaces. Records and values are
// flexible in every version (KIP-482): compact lengths, and tagged fields after
// each struct; a struct may be null if it is tagged. The default `empty` is a
// nullable list or struct that is present but empty. Keys are not flexible and
// have only primitives. VERSIONS of a field are the record versions that
// contain it; in the other versions the field has its default. A line that
// begins with // becomes the Go comment of the next item; a line with # is a
// comment of the schema.
//
// parse.go parses the schema, emit.go writes the Go code.
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

// generate is the program without file access: it returns the Go code of a
// package.
func generate(schema, pkg string) ([]byte, error) {
	messages, err := parse(schema)
	if err != nil {
		return nil, err
	}
	return emit(messages, pkg)
}
