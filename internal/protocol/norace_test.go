//go:build !race

package protocol

const slack = 1
