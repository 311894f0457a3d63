//go:build !unix

package node

// descriptorLimit is 0: these systems have no such limit.
func descriptorLimit() int64 { return 0 }
