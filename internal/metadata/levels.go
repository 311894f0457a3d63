package metadata

import (
	"slices"
	"strconv"
)

// The levels of metadata.version used here. Kafka 4.3.1 supports 7 to 30.
const (
	// MinLevel is 3.3-IV3, the lowest level that a Kafka 4 cluster may have.
	MinLevel int16 = 7
	// CurrentLevel is 4.3-IV0, the level at which Ottla formats a cluster.
	CurrentLevel int16 = 30
	// DirectoriesLevel is 3.7-IV2, which added log dirs to registrations and
	// partitions (KIP-858).
	DirectoriesLevel int16 = 17

	// level34IV0 added the registration of brokers that migrate off ZooKeeper.
	level34IV0 int16 = 8
	// level40IV1 added eligible leader replicas to partitions (KIP-966).
	level40IV1 int16 = 23
)

// VersionAt returns the version in which a cluster at a level of
// metadata.version writes m. Kafka raises the version of a record only together
// with the level, so no node reads a version it does not know.
func VersionAt(m Message, level int16) int16 {
	switch m := m.(type) {
	case *RegisterBrokerRecord:
		switch {
		case level >= CurrentLevel:
			return 4
		case level >= DirectoriesLevel:
			return 3
		case level >= level34IV0:
			return 2
		}
		return 1
	case *PartitionRecord, *PartitionChangeRecord:
		switch {
		case level >= level40IV1:
			return 2
		case level >= DirectoriesLevel:
			return 1
		}
	case *BrokerRegistrationChangeRecord:
		return m.version()
	}
	return 0
}

// levelNames are the names of the levels of metadata.version, starting with
// MinLevel.
var levelNames = []string{
	"3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2",
	"3.7-IV0", "3.7-IV1", "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0",
	"4.0-IV0", "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0", "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0",
}

// LevelName returns the name of a level of metadata.version, as Kafka's tools
// write it, or the number if the level is not supported.
func LevelName(level int16) string {
	if level < MinLevel || level > CurrentLevel {
		return strconv.Itoa(int(level))
	}
	return levelNames[level-MinLevel]
}

// LevelAfter returns the metadata.version after the record m, given the level
// before it.
func LevelAfter(level int16, m Message) int16 {
	if f, ok := m.(*FeatureLevelRecord); ok && f.Name == FeatureMetadataVersion {
		return f.FeatureLevel
	}
	return level
}

// AtLevel returns records as a cluster at a level of metadata.version writes
// them, without the fields that the level does not have. A caller that creates
// records must continue with the returned ones, because the log contains only
// these.
func AtLevel(records []Message, level int16) ([]Message, error) {
	var out []Message
	for i, m := range records {
		level = LevelAfter(level, m)
		if level == 0 || VersionAt(m, level) == VersionAt(m, CurrentLevel) {
			continue
		}
		if out == nil {
			out = slices.Clone(records)
		}
		var err error
		if out[i], err = ParseValue(AppendValueAt(nil, m, level)); err != nil {
			return nil, err
		}
	}
	if out == nil {
		return records, nil
	}
	return out, nil
}

// version returns the lowest version that has every field that is set. Kafka
// writes this record in that version at every level.
func (m *BrokerRegistrationChangeRecord) version() int16 {
	switch {
	case m.CordonedLogDirs != nil:
		return 3
	case len(m.LogDirs) > 0:
		return 2
	case m.InControlledShutdown != 0:
		return 1
	}
	return 0
}
