// Command ottla is Apache Kafka as one program: `ottla serve` runs a node, the
// other commands work with a cluster. Everything is in package internal/cli and
// package internal/cli/node.
package main

import (
	"os"

	"ottla/internal/cli/node"
)

func main() { os.Exit(node.Main()) }
