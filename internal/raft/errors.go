package raft

import (
	"fmt"

	"ottla/internal/storage"
)

// CorruptError reports a file of the metadata log with invalid content. Nothing
// was repaired or removed.
type CorruptError struct {
	// File is the path of the file.
	File string
	// Offset is the offset of the first lost record, -1 if it is not known.
	Offset int64
	// Pos is the byte position in the file where the damage begins.
	Pos    int64
	Reason string
}

// Error names file, position, offset and reason.
func (e *CorruptError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s is corrupt at byte %d: %s", e.File, e.Pos, e.Reason)
	}
	return fmt.Sprintf("%s is corrupt at byte %d, offset %d: %s", e.File, e.Pos, e.Offset, e.Reason)
}

// noRoomError reports a write that failed because the disk is full. No part of
// it is in a file, and it may be retried.
type noRoomError struct{ err error }

func (e *noRoomError) Error() string { return e.err.Error() }
func (e *noRoomError) Unwrap() error { return e.err }

// noRoom wraps an error that reports a full disk.
func noRoom(err error) error {
	if err != nil && storage.IsNoSpace(err) {
		return &noRoomError{err}
	}
	return err
}
