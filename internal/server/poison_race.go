//go:build race

package server

// poisonOnRelease makes builds with the race detector overwrite released
// buffers.
const poisonOnRelease = true
