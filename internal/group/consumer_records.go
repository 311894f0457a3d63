package group

import (
	"ottla/internal/coordinator"
	"ottla/internal/schema"
)

// recordVersion is the version of all values of consumer groups' records.
const recordVersion = 0

// recordKey is what gen writes for a key.
type recordKey interface {
	Append(dst []byte) []byte
	Parse(src []byte) error
}

// newRecord writes a record of a consumer group; a nil value is a tombstone.
func newRecord(key recordKey, value schema.Value) coordinator.Record {
	r := coordinator.Record{Key: key.Append(nil)}
	if value != nil {
		r.Value = schema.AppendVersioned(nil, value, recordVersion)
	}
	return r
}

// parseRecord reads key and value of a record, and tells whether it is a
// tombstone, which leaves value as it is. Errors wrap schema.ErrMalformed.
func parseRecord(r coordinator.Record, key recordKey, value schema.Value) (tombstone bool, err error) {
	if err := key.Parse(r.Key); err != nil {
		return false, err
	}
	if r.Value == nil {
		return true, nil
	}
	return false, schema.ParseVersioned(r.Value, value)
}
