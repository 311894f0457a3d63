package api

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// apiVersions answers ApiVersions, versions 0–4: what the listener serves, as
// the Table says, and the features of the cluster (KIP-584).
//
// It is the first request of a connection, so a client may well send a version
// that is not served: that is answered in version 0 with UNSUPPORTED_VERSION
// and the range of ApiVersions (KIP-511). From version 3 on the client names
// its software; a name that could spoil logs is INVALID_REQUEST.
//
// Nobody needs a permission.
func (h *Handler) apiVersions(_ context.Context, r *Request) (Reply, error) {
	version := r.Header.Version
	if self := find(apiVersionsKey); !self.Serves(version) {
		resp := newAPIVersions(protocol.UnsupportedVersion)
		resp.ApiKeys = append(resp.ApiKeys, advertise(self))
		resp.SetVersion(0)
		return encoded(resp), nil
	}
	decoded, err := protocol.Decode(r.Header.Key, version, r.Body)
	if err != nil {
		return Reply{}, err
	}
	req := decoded.(*kmsg.ApiVersionsRequest)
	if version >= 3 {
		if !softwareName(req.ClientSoftwareName) || !softwareName(req.ClientSoftwareVersion) {
			return respond(r, newAPIVersions(protocol.InvalidRequest)), nil
		}
		r.Session.ClientSoftwareName = keptSoftware(req.ClientSoftwareName)
		r.Session.ClientSoftwareVersion = keptSoftware(req.ClientSoftwareVersion)
	}
	resp := newAPIVersions(protocol.None)
	resp.ApiKeys = advertised(r.Session)
	resp.SupportedFeatures = supportedFeatures(version)
	h.finalizedFeatures(resp)
	return respond(r, resp), nil
}

const apiVersionsKey = 18

func newAPIVersions(code protocol.Code) *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = int16(code)
	return resp
}

// advertised lists the rows of the Table that the connection's kind of
// listener serves.
func advertised(s *Session) []kmsg.ApiVersionsResponseApiKey {
	kind := OnBroker
	if s.Controller {
		kind = OnController
	}
	var keys []kmsg.ApiVersionsResponseApiKey
	for _, e := range Table() {
		if e.Listeners&kind != 0 {
			keys = append(keys, advertise(&e))
		}
	}
	return keys
}

// advertise makes the entry of one API. Produce is advertised from version 0
// on, although versions before 3 are refused: old librdkafka takes a broker
// without Produce 0 for one that has no modern records either (KAFKA-18659).
func advertise(e *Endpoint) kmsg.ApiVersionsResponseApiKey {
	key := kmsg.NewApiVersionsResponseApiKey()
	key.ApiKey, key.MinVersion, key.MaxVersion = e.Key, e.Min, e.Max
	if e.Name == "Produce" {
		key.MinVersion = 0
	}
	return key
}

// supportedFeatures lists the levels that this program can run at, sorted by
// name. Before version 4 features that begin at level 0 are left out: older
// clients cannot read them (KAFKA-17492).
func supportedFeatures(version int16) []kmsg.ApiVersionsResponseSupportedFeature {
	var features []kmsg.ApiVersionsResponseSupportedFeature
	for _, f := range metadata.SupportedFeatures() {
		if version < 4 && f.Min == 0 {
			continue
		}
		feature := kmsg.NewApiVersionsResponseSupportedFeature()
		feature.Name, feature.MinVersion, feature.MaxVersion = f.Name, f.Min, f.Max
		features = append(features, feature)
	}
	return features
}

// finalizedFeatures fills in the levels that the cluster runs at, and as their
// epoch the offset of the metadata they come from. kraft.version lies outside
// the metadata: it is the quorum's.
func (h *Handler) finalizedFeatures(resp *kmsg.ApiVersionsResponse) {
	img := h.Controller.Image()
	resp.FinalizedFeaturesEpoch = img.Offset
	add := func(name string, level int16) {
		if level == 0 {
			return
		}
		feature := kmsg.NewApiVersionsResponseFinalizedFeature()
		feature.Name, feature.MinVersionLevel, feature.MaxVersionLevel = name, level, level
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, feature)
	}
	for name, level := range img.Features() {
		add(name, level)
	}
	add(metadata.FeatureKRaftVersion, h.Controller.KRaftVersion())
	slices.SortFunc(resp.FinalizedFeatures, func(a, b kmsg.ApiVersionsResponseFinalizedFeature) int {
		return strings.Compare(a.Name, b.Name)
	})
}

// keptSoftware returns the part of a name or version that a connection keeps: at
// most 256 bytes.
func keptSoftware(s string) string {
	if len(s) > 256 {
		return strings.Clone(s[:256])
	}
	return s
}

// softwareName tells whether s is a name or version of software as KIP-511
// allows it: letters, digits, dots and hyphens, beginning and ending with a
// letter or digit.
func softwareName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (c != '.' && c != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return s != ""
}
