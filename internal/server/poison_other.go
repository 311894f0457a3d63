//go:build !race

package server

const poisonOnRelease = false
