//go:build !unix

package node

// descriptorLimit is 0: there is none to speak of.
func descriptorLimit() int64 { return 0 }
