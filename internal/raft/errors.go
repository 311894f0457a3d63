package raft

import (
	"fmt"

	"ottla/internal/storage"
)

// CorruptError says that a file of the metadata log does not hold what it must.
// Nothing was repaired or removed.
type CorruptError struct {
	// File is the path of the file.
	File string
	// Offset is the first record that is lost, -1 when that is not known.
	Offset int64
	// Pos is where in the file the trouble begins, in bytes.
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

// noRoomError is a write that failed because the disk is full: nothing of it is
// in a file, and it may be tried again.
type noRoomError struct{ err error }

func (e *noRoomError) Error() string { return e.err.Error() }
func (e *noRoomError) Unwrap() error { return e.err }

// noRoom marks an error that says so.
func noRoom(err error) error {
	if err != nil && storage.IsNoSpace(err) {
		return &noRoomError{err}
	}
	return err
}
