package api

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// imageOnly is a controller that has metadata and decides nothing.
type imageOnly struct {
	Controller
	image *metadata.Image
}

func (c imageOnly) Image() *metadata.Image { return c.image }

func (imageOnly) KRaftVersion() int16 { return 1 }

// clusterImage is the metadata of a cluster as Kafka 4.3.1 formats it.
func clusterImage(t *testing.T) *metadata.Image {
	t.Helper()
	var records []metadata.Message
	for name, level := range map[string]int16{
		"metadata.version": 30, "group.version": 1, "share.version": 1, "streams.version": 1,
		"transaction.version": 2, "eligible.leader.replicas.version": 1,
	} {
		records = append(records, &metadata.FeatureLevelRecord{Name: name, FeatureLevel: level})
	}
	image, _, err := metadata.Empty().Apply(records, 16, 1)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// askVersions sends ApiVersions through its row of the Table.
func askVersions(t *testing.T, version int16, body []byte, session *Session) (*kmsg.ApiVersionsResponse, error) {
	t.Helper()
	h := &Handler{Controller: imageOnly{image: clusterImage(t)}}
	r := &Request{Header: protocol.RequestHeader{Key: 18, Version: version}, Body: body, Session: session}
	reply, err := find(18).Handle(h, context.Background(), r)
	if err != nil {
		return nil, err
	}
	payload, err := reply.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version = version
	if !find(18).Serves(version) {
		resp.Version = 0
	}
	if err := resp.ReadFrom(payload.Bytes); err != nil {
		t.Fatal(err)
	}
	return resp, nil
}

func softwareBody(version int16, name, softwareVersion string) []byte {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, name, softwareVersion
	return req.AppendTo(nil)
}

func TestApiVersions(t *testing.T) {
	for version := range int16(5) {
		session := &Session{}
		resp, err := askVersions(t, version, softwareBody(version, "a-client", "1.2.3"), session)
		if err != nil || resp.ErrorCode != 0 || resp.ThrottleMillis != 0 {
			t.Fatalf("version %d: %+v, %v", version, resp, err)
		}
		served := 0
		for _, e := range Table() {
			if e.Listeners&OnBroker != 0 {
				served++
			}
		}
		if len(resp.ApiKeys) != served {
			t.Errorf("version %d: %d APIs, %d are served", version, len(resp.ApiKeys), served)
		}
		if first := resp.ApiKeys[0]; first.ApiKey != 0 || first.MinVersion != 0 || first.MaxVersion != 13 {
			t.Errorf("Produce is advertised as %+v", first)
		}
		if named := session.ClientSoftwareName == "a-client" && session.ClientSoftwareVersion == "1.2.3"; named != (version >= 3) {
			t.Errorf("version %d: the session has %+v", version, session)
		}
		// Without those that begin at level 0 before version 4 (KAFKA-17492).
		wantSupported := map[int16]int{3: 1, 4: 7}[version]
		if len(resp.SupportedFeatures) != wantSupported {
			t.Errorf("version %d: %d supported features", version, len(resp.SupportedFeatures))
		}
		if version < 3 {
			continue
		}
		if len(resp.FinalizedFeatures) != 7 || resp.FinalizedFeaturesEpoch != 16 {
			t.Errorf("version %d: finalized %+v, epoch %d", version, resp.FinalizedFeatures, resp.FinalizedFeaturesEpoch)
		}
		for i, want := range []string{"eligible.leader.replicas.version", "group.version", "kraft.version", "metadata.version", "share.version", "streams.version", "transaction.version"} {
			f := resp.FinalizedFeatures[i]
			if f.Name != want || f.MinVersionLevel != f.MaxVersionLevel || f.MaxVersionLevel == 0 {
				t.Errorf("version %d: %+v, want %s", version, f, want)
			}
			if version == 4 && (resp.SupportedFeatures[i].Name != want || f.MaxVersionLevel > resp.SupportedFeatures[i].MaxVersion) {
				t.Errorf("%+v is supported, %+v finalized", resp.SupportedFeatures[i], f)
			}
		}
	}
}

// Answers to what is not served are in version 0, with the range that is.
func TestApiVersionsOfUnknownVersion(t *testing.T) {
	for _, version := range []int16{5, 99, 32767, -1} {
		resp, err := askVersions(t, version, []byte{1, 2, 3}, &Session{})
		if err != nil || protocol.Code(resp.ErrorCode) != protocol.UnsupportedVersion {
			t.Fatalf("version %d: %+v, %v", version, resp, err)
		}
		if len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MinVersion != 0 || resp.ApiKeys[0].MaxVersion != 4 {
			t.Fatalf("version %d: %+v", version, resp.ApiKeys)
		}
	}
}

func TestApiVersionsChecksSoftware(t *testing.T) {
	for _, test := range []struct {
		name, version string
		ok            bool
	}{
		{"apache-kafka-java", "4.3.1", true},
		{"a", "1", true},
		{strings.Repeat("a", 30_000), strings.Repeat("1", 30_000), true},
		{"x.y-z", "v1.0-rc.1", true},
		{"", "1", false},
		{"a", "", false},
		{"a b", "1", false},
		{"-a", "1", false},
		{"a", "1.", false},
		{"a\nb", "1", false},
		{"ä", "1", false},
	} {
		session := &Session{}
		resp, err := askVersions(t, 4, softwareBody(4, test.name, test.version), session)
		if err != nil || (resp.ErrorCode == 0) != test.ok || !test.ok && protocol.Code(resp.ErrorCode) != protocol.InvalidRequest {
			t.Errorf("%q %q: %+v, %v", test.name, test.version, resp, err)
		}
		if !test.ok && (session.ClientSoftwareName != "" || len(resp.ApiKeys) > 0) {
			t.Errorf("%q %q: taken all the same", test.name, test.version)
		}
		if len(session.ClientSoftwareName) > 256 || len(session.ClientSoftwareVersion) > 256 {
			t.Errorf("the connection keeps %d and %d bytes", len(session.ClientSoftwareName), len(session.ClientSoftwareVersion))
		}
	}
}

func TestApiVersionsRefusesGarbage(t *testing.T) {
	if _, err := askVersions(t, 3, []byte{9, 1}, &Session{}); !errors.Is(err, protocol.ErrMalformed) {
		t.Fatal(err)
	}
}

// A controller's listener names what it serves, and no more.
func TestApiVersionsOfControllerListener(t *testing.T) {
	resp, err := askVersions(t, 0, nil, &Session{Controller: true})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[int16]bool{}
	for _, k := range resp.ApiKeys {
		keys[k.ApiKey] = true
	}
	if keys[0] || keys[3] || !keys[18] || !keys[19] || !keys[60] {
		t.Fatalf("%v", keys)
	}
}

// Every row has the name and the versions of Kafka's schema, and a bound.
func TestTableIsKafkas(t *testing.T) {
	last := int16(-1)
	for _, e := range Table() {
		minVersion, maxVersion, ok := protocol.Versions(e.Key)
		if !ok || e.Name != protocol.APIName(e.Key) || e.Min != minVersion || e.Max != maxVersion {
			t.Errorf("%+v: Kafka has %s %d-%d", e, protocol.APIName(e.Key), minVersion, maxVersion)
		}
		if e.Key <= last {
			t.Errorf("%s stands behind key %d", e.Name, last)
		}
		last = e.Key
		if e.Handle == nil || e.Listeners == 0 || (e.MaxFrame == 0) != (e.Key == 0) || (e.Kind == Pipelined) != (e.Key == 0) {
			t.Errorf("%s: %+v", e.Name, e)
		}
	}
}
