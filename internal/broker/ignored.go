package broker

import (
	"iter"

	"ottla/internal/metadata"
)

// Ignored is something in the metadata that a node keeps and does not act on.
type Ignored struct {
	Count int
	// Name is what programs call it.
	Name string
	// What it is, in the plural, and what follows from ignoring it.
	What, Effect string
}

// IgnoredIn lists what Kafka left in the metadata and Ottla does not serve yet.
func IgnoredIn(img *metadata.Image) (list []Ignored) {
	for _, one := range []Ignored{
		{count(img.ACLs()), "acls", "ACLs", "they are not enforced: whoever reaches a listener may do everything"},
		{count(img.SCRAMCredentials()), "scramCredentials", "SCRAM credentials", "nobody can log in with them: SASL is not served yet"},
		{count(img.ClientQuotas()), "clientQuotas", "client quotas", "they are not enforced"},
		{count(img.DelegationTokens()), "delegationTokens", "delegation tokens", "nobody can log in with them"},
	} {
		if one.Count > 0 {
			list = append(list, one)
		}
	}
	return list
}

func count[V any](all iter.Seq[V]) (n int) {
	for range all {
		n++
	}
	return n
}
