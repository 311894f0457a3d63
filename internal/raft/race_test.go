//go:build race

package raft

// raceDetector reduces tests that use only one goroutine.
const raceDetector = true
