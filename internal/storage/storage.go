// Package storage keeps partitions on disk, byte for byte as Apache Kafka 4
// does: Kafka's own tools and brokers read what is written here.
//
// A Manager owns the log dirs of a node. In each of them a partition is a
// folder topic-N, and a Log is what serves one: an ordered list of segments
// (20-digit base offset, .log), each with a sparse offset index, time index and,
// once a transaction was aborted, a transaction index; beside them producer
// snapshots, the leader epoch checkpoint and partition.metadata. Every format is
// drawn beside the code that writes it.
//
// Start reading at Log (log.go), then follow a batch: append.go checks it and
// gives it its offset, segment.go writes it, flusher.go makes it durable,
// read.go finds it again, recover.go is what a crash leaves to do, retention.go
// lets it go, cleaner.go keeps the last record of each key. Manager (manager.go)
// and dirs.go are the folders around that, create.go says when a partition gets
// its own, reserve.go keeps a node going on a
// full disk, and Verify (verify.go) checks all of it on a stopped node.
package storage
