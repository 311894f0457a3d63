package metadata

import "iter"

// Image is the cluster's metadata after the record at Offset was applied.
//
// An Image is immutable, and so is everything that it returns. Any number of
// goroutines may read it and keep it as long as needed. Apply makes the next
// Image, which shares all unchanged parts. The cost of a change depends on the
// size of the change, not of the cluster.
type Image struct {
	// Offset is the offset of the last record in it, -1 if there is none.
	Offset int64
	// Epoch is the leader epoch of that record, -1 if there is none.
	Epoch int32

	topics      Map[string, *Topic] // by idKey
	topicNames  Map[string, *Topic]
	brokers     Map[int32, *Broker]
	controllers Map[int32, *RegisterControllerRecord]
	configs     Map[string, *resource] // by ConfigResource.key
	features    Map[string, int16]
	quotas      Map[string, *ClientQuota]               // by quotaKey
	scram       Map[string, *UserScramCredentialRecord] // by scramKey
	tokens      Map[string, *DelegationTokenRecord]
	acls        Map[string, *AccessControlEntryRecord] // by idKey

	nextProducerID int64 // -1 before the first ProducerIdsRecord
	zkMigration    *ZkMigrationStateRecord
	open           *transaction // nil outside BeginTransaction … EndTransaction
}

// transaction holds the records of the open transaction of the metadata log so
// far.
type transaction struct {
	begin   *BeginTransactionRecord
	records []Message
}

// Empty is the Image before the first record.
func Empty() *Image { return &Image{Offset: -1, Epoch: -1, nextProducerID: -1} }

// InTransaction tells whether the last record left a transaction open. Its
// records take effect when it ends.
func (img *Image) InTransaction() bool { return img.open != nil }

// NextProducerID is the first producer id that is not allocated to a broker, -1
// if none was ever allocated.
func (img *Image) NextProducerID() int64 { return img.nextProducerID }

// Feature returns the finalized level of a feature, 0 if it is not finalized.
func (img *Image) Feature(name string) int16 {
	level, _ := img.features.Get(name)
	return level
}

// Features iterates over the finalized features, sorted by name.
func (img *Image) Features() iter.Seq2[string, int16] { return img.features.All() }

// MetadataVersion is the finalized level of metadata.version, 0 before the
// bootstrap records of the cluster.
func (img *Image) MetadataVersion() int16 { return img.Feature(FeatureMetadataVersion) }

// The features of Kafka 4.3.1. kraft.version is not in the Image: its record is
// a control record of the quorum (KIP-853).
const (
	FeatureMetadataVersion    = "metadata.version"
	FeatureKRaftVersion       = "kraft.version"
	FeatureTransactionVersion = "transaction.version"
	FeatureGroupVersion       = "group.version"
	FeatureShareVersion       = "share.version"
	FeatureStreamsVersion     = "streams.version"
	FeatureELRVersion         = "eligible.leader.replicas.version"
)

// Controllers iterates over the registered controllers, by ascending id.
func (img *Image) Controllers() iter.Seq2[int32, *RegisterControllerRecord] {
	return img.controllers.All()
}

// ACLs iterates over the ACLs, by ascending id.
func (img *Image) ACLs() iter.Seq[*AccessControlEntryRecord] { return values(img.acls) }

// ACL returns the ACL with an id, nil if there is none.
func (img *Image) ACL(id UUID) *AccessControlEntryRecord {
	a, _ := img.acls.Get(idKey(id))
	return a
}

// DelegationTokens iterates over the delegation tokens, by ascending id.
func (img *Image) DelegationTokens() iter.Seq[*DelegationTokenRecord] { return values(img.tokens) }

// SCRAMCredentials iterates over the SCRAM credentials, by user, then
// mechanism.
func (img *Image) SCRAMCredentials() iter.Seq[*UserScramCredentialRecord] { return values(img.scram) }

// ClientQuotas iterates over the client quotas, one per entity, in the order of
// an internal key.
func (img *Image) ClientQuotas() iter.Seq[*ClientQuota] { return values(img.quotas) }

// ClientQuota holds the quotas of one entity, such as a user and a client id.
type ClientQuota struct {
	// Entity is the entity that the quota applies to, sorted by entity type.
	Entity []QuotaEntity
	// Values are the quotas by name, such as producer_byte_rate. It must not
	// be changed.
	Values map[string]float64
}

// values iterates over the values of a map, by ascending key.
func values[V any](m Map[string, V]) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, v := range m.All() {
			if !yield(v) {
				return
			}
		}
	}
}

// ResourceType is the type of a resource that has configs (Kafka's ids).
type ResourceType = int8

// The resource types.
const (
	ResourceTopic         ResourceType = 2
	ResourceBroker        ResourceType = 4
	ResourceBrokerLogger  ResourceType = 8
	ResourceClientMetrics ResourceType = 16
	ResourceGroup         ResourceType = 32
)

// ConfigResource names a resource that has configs. The broker resource with an
// empty name holds the defaults of all brokers.
type ConfigResource struct {
	Type ResourceType
	Name string
}

func (r ConfigResource) key() string { return string([]byte{byte(r.Type)}) + r.Name }

// resource holds the configs of one ConfigResource. values is never empty and
// never changed.
type resource struct {
	ConfigResource
	values map[string]string
}

// Configs returns the configs that are set on a resource, nil if none are. The
// map must not be changed.
func (img *Image) Configs(kind ResourceType, name string) map[string]string {
	if r, ok := img.configs.Get(ConfigResource{kind, name}.key()); ok {
		return r.values
	}
	return nil
}

// Config returns one config of a resource, if it is set.
func (img *Image) Config(kind ResourceType, name, key string) (value string, ok bool) {
	value, ok = img.Configs(kind, name)[key]
	return value, ok
}

// AllConfigs iterates over the resources that have configs, by type, then name.
// The maps must not be changed.
func (img *Image) AllConfigs() iter.Seq2[ConfigResource, map[string]string] {
	return func(yield func(ConfigResource, map[string]string) bool) {
		for _, r := range img.configs.All() {
			if !yield(r.ConfigResource, r.values) {
				return
			}
		}
	}
}
