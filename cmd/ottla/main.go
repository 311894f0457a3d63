// Command ottla is Apache Kafka as one program. `ottla serve` runs a node; the
// other commands work with a cluster. The implementation is in the packages
// internal/cli and internal/cli/node.
package main

import (
	"os"

	"ottla/internal/cli/node"
)

func main() { os.Exit(node.Main()) }
