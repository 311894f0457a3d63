package broker

import (
	"errors"
	"io/fs"
	"math/rand/v2"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/storage"
)

// clusterID is the id of the cluster that the node belongs to: the configured
// one, else that of a log dir, else, on the very first start, a new one. That
// the dirs agree with it is checked when they are opened.
func clusterID(cfg *config.Broker, env Env) (string, error) {
	if cfg.ClusterID != "" {
		return cfg.ClusterID, nil
	}
	for _, dir := range cfg.LogDirs {
		p, err := storage.ReadMetaProperties(env.FS, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return p.ClusterID, nil
	}
	return metadata.FormatUUID(newUUID(env.random("cluster id"))), nil
}

// newUUID makes a random id (version 4). One that would begin with a hyphen
// when written, and be mistaken for an option by a shell, is drawn again, as
// Kafka does.
func newUUID(random *rand.Rand) metadata.UUID {
	for {
		var id metadata.UUID
		for i := range id {
			id[i] = byte(random.Uint32())
		}
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if metadata.FormatUUID(id)[0] != '-' {
			return id
		}
	}
}
