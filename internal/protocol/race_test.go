//go:build race

package protocol

// slack is by how much more the race detector's builds allocate: append(a,
// make(…)…) really makes what it appends.
const slack = 2
