package metadata

// FeatureLevels is a feature and the levels that this program supports.
type FeatureLevels struct {
	Name     string
	Min, Max int16
}

// SupportedFeatures are the features of Kafka 4.3.1, sorted by name.
func SupportedFeatures() []FeatureLevels {
	return []FeatureLevels{
		{FeatureELRVersion, 0, 1},
		{FeatureGroupVersion, 0, 1},
		{FeatureKRaftVersion, 0, 1},
		{FeatureMetadataVersion, MinLevel, CurrentLevel},
		{FeatureShareVersion, 0, 1},
		{FeatureStreamsVersion, 0, 1},
		{FeatureTransactionVersion, 0, 2},
	}
}
