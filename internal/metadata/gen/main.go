// Command gen writes records_gen.go, the Go types of Kafka's metadata records,
// from schema.txt, which says how it is written. It is run by
// `go generate ./internal/metadata`, in the folder of that package.
//
// parse.go reads the schema, emit.go writes the Go.
package main

import (
	"fmt"
	"os"
)

const (
	schemaFile = "gen/schema.txt"
	outputFile = "records_gen.go"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	schema, err := os.ReadFile(schemaFile)
	if err != nil {
		return err
	}
	code, err := generate(string(schema))
	if err != nil {
		return err
	}
	return os.WriteFile(outputFile, code, 0o644)
}

// generate is the whole program without its files.
func generate(schema string) ([]byte, error) {
	messages, err := parse(schema)
	if err != nil {
		return nil, err
	}
	return emit(messages)
}
