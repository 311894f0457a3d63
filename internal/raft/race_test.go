//go:build race

package raft

// raceDetector makes tests smaller that have one goroutine only.
const raceDetector = true
