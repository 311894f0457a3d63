//go:build !race

package raft

const raceDetector = false
