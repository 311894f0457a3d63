//go:build !unix

package api

import "time"

// processCPU is not known on this platform: the test then bounds memory alone.
func processCPU() time.Duration { return 0 }
