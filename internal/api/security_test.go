package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// What belongs to security, quotas and transactions is answered as a default
// Kafka answers it, in each version.
func TestWithoutSecurity(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		noTokens := protocol.DelegationTokenRequestNotAllowed
		for _, c := range []struct {
			req  kmsg.Request
			want protocol.Code
			got  func(kmsg.Response) int16
		}{
			{kmsg.NewPtrSASLHandshakeRequest(), protocol.IllegalSaslState, func(r kmsg.Response) int16 { return r.(*kmsg.SASLHandshakeResponse).ErrorCode }},
			{kmsg.NewPtrSASLAuthenticateRequest(), protocol.IllegalSaslState, func(r kmsg.Response) int16 { return r.(*kmsg.SASLAuthenticateResponse).ErrorCode }},
			{kmsg.NewPtrDescribeACLsRequest(), protocol.SecurityDisabled, func(r kmsg.Response) int16 { return r.(*kmsg.DescribeACLsResponse).ErrorCode }},
			{kmsg.NewPtrCreateDelegationTokenRequest(), noTokens, func(r kmsg.Response) int16 { return r.(*kmsg.CreateDelegationTokenResponse).ErrorCode }},
			{kmsg.NewPtrRenewDelegationTokenRequest(), noTokens, func(r kmsg.Response) int16 { return r.(*kmsg.RenewDelegationTokenResponse).ErrorCode }},
			{kmsg.NewPtrExpireDelegationTokenRequest(), noTokens, func(r kmsg.Response) int16 { return r.(*kmsg.ExpireDelegationTokenResponse).ErrorCode }},
			{kmsg.NewPtrDescribeDelegationTokenRequest(), noTokens, func(r kmsg.Response) int16 { return r.(*kmsg.DescribeDelegationTokenResponse).ErrorCode }},
		} {
			x.eachVersion(c.req.Key(), func(version int16) {
				what := fmt.Sprintf("%s %d", kmsg.NameForKey(c.req.Key()), version)
				wantCode(t, what, c.got(ask[kmsg.Response](x, version, c.req)), c.want)
			})
		}
	})
}

// Each change of ACLs is refused by itself.
func TestACLsAreRefusedOneByOne(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.eachVersion(30, func(version int16) {
			req := kmsg.NewPtrCreateACLsRequest()
			req.Creations = make([]kmsg.CreateACLsRequestCreation, 2)
			resp := ask[*kmsg.CreateACLsResponse](x, version, req)
			if len(resp.Results) != 2 || protocol.Code(resp.Results[1].ErrorCode) != protocol.SecurityDisabled || deref(resp.Results[1].ErrorMessage) == "" {
				t.Errorf("version %d: %+v", version, resp)
			}
		})
		x.eachVersion(31, func(version int16) {
			req := kmsg.NewPtrDeleteACLsRequest()
			req.Filters = make([]kmsg.DeleteACLsRequestFilter, 2)
			resp := ask[*kmsg.DeleteACLsResponse](x, version, req)
			if len(resp.Results) != 2 || protocol.Code(resp.Results[0].ErrorCode) != protocol.SecurityDisabled || len(resp.Results[0].MatchingACLs) > 0 {
				t.Errorf("version %d: %+v", version, resp)
			}
		})
	})
}

// A token would have been the principal's who asks, or the owner's it names
// (version 3).
func TestDelegationTokenOwner(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.eachVersion(38, func(version int16) {
			req := kmsg.NewPtrCreateDelegationTokenRequest()
			resp := ask[*kmsg.CreateDelegationTokenResponse](x, version, req)
			if resp.PrincipalType != "User" || resp.PrincipalName != "ANONYMOUS" || version >= 3 && resp.TokenRequesterPrincipalName != "ANONYMOUS" {
				t.Errorf("version %d: %+v", version, resp)
			}
			req.OwnerPrincipalType, req.OwnerPrincipalName = ptr("User"), ptr("alice")
			if resp := ask[*kmsg.CreateDelegationTokenResponse](x, version, req); version >= 3 && resp.PrincipalName != "alice" {
				t.Errorf("version %d: %+v", version, resp)
			}
		})
	})
}

func TestListTransactions(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.eachVersion(66, func(version int16) {
			for _, c := range []struct {
				states  []string
				pattern *string
				want    protocol.Code
				unknown int
			}{
				{nil, nil, 0, 0},
				{[]string{"Ongoing", "CompleteAbort"}, nil, 0, 0},
				{[]string{"Ongoing", "Dreaming"}, nil, 0, 1},
				{nil, ptr("a.*"), 0, 0},
				{nil, ptr("("), protocol.InvalidRegularExpression, 0},
				{nil, ptr("(?:abcdefghijk){1000}"), protocol.InvalidRegularExpression, 0},
			} {
				req := kmsg.NewPtrListTransactionsRequest()
				req.StateFilters, req.TransactionalIDPattern = c.states, c.pattern
				resp := ask[*kmsg.ListTransactionsResponse](x, version, req)
				want := c.want
				if version < 2 {
					want = 0 // the pattern is not sent
				}
				wantCode(t, fmt.Sprintf("version %d %v", version, c), resp.ErrorCode, want)
				if len(resp.UnknownStateFilters) != c.unknown || len(resp.TransactionStates) > 0 {
					t.Errorf("version %d: %+v", version, resp)
				}
			}
		})
		req := kmsg.NewPtrDescribeTransactionsRequest()
		req.TransactionalIDs = []string{"t", ""}
		resp := ask[*kmsg.DescribeTransactionsResponse](x, 0, req)
		wantCode(t, "t", resp.TransactionStates[0].ErrorCode, protocol.TransactionalIDNotFound)
		wantCode(t, "empty", resp.TransactionStates[1].ErrorCode, protocol.InvalidRequest)
	})
}

func TestDescribeQuorum(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		ask1 := func(version int16, topic string, partitions ...int32) *kmsg.DescribeQuorumResponse {
			req := kmsg.NewPtrDescribeQuorumRequest()
			r := kmsg.NewDescribeQuorumRequestTopic()
			r.Topic = topic
			for _, p := range partitions {
				one := kmsg.NewDescribeQuorumRequestTopicPartition()
				one.Partition = p
				r.Partitions = append(r.Partitions, one)
			}
			req.Topics = append(req.Topics, r)
			return ask[*kmsg.DescribeQuorumResponse](x, version, req)
		}
		x.eachVersion(55, func(version int16) {
			resp := ask1(version, "__cluster_metadata", 0)
			p := resp.Topics[0].Partitions[0]
			if resp.ErrorCode != 0 || p.ErrorCode != 0 || p.LeaderID != 1 || p.LeaderEpoch < 1 || p.HighWatermark <= 0 || len(p.CurrentVoters) != 1 || len(p.Observers) > 0 {
				t.Fatalf("version %d: %+v", version, resp)
			}
			if v := p.CurrentVoters[0]; v.ReplicaID != 1 || v.LogEndOffset < p.HighWatermark || version >= 1 && v.LastCaughtUpTimestamp != time.Now().UnixMilli() {
				t.Errorf("version %d: voter %+v", version, v)
			}
			if version >= 2 {
				dir := x.h.Storage.Dirs()[0].ID
				if p.CurrentVoters[0].ReplicaDirectoryID != dir || len(resp.Nodes) != 1 || resp.Nodes[0].NodeID != 1 || resp.Nodes[0].Listeners[0].Port != 9093 || resp.ErrorMessage == nil {
					t.Errorf("version %d: %+v", version, resp)
				}
			}
			for _, wrong := range []*kmsg.DescribeQuorumResponse{
				ask1(version, "__cluster_metadata", 1), ask1(version, "a", 0), ask1(version, "__cluster_metadata", 0, 1), ask1(version, "__cluster_metadata", 0, 0),
			} {
				for _, p := range wrong.Topics[0].Partitions {
					wantCode(t, fmt.Sprintf("version %d %s-%d", version, wrong.Topics[0].Topic, p.Partition), p.ErrorCode, protocol.UnknownTopicOrPartition)
				}
			}
			if none := ask[*kmsg.DescribeQuorumResponse](x, version, kmsg.NewPtrDescribeQuorumRequest()); len(none.Topics) > 0 || none.ErrorCode != 0 {
				t.Errorf("version %d, nothing asked: %+v", version, none)
			}
		})
	})
}

// securedImage holds what another Kafka may have left in the metadata: quotas
// and SCRAM credentials.
func securedImage(t *testing.T) *metadata.Image {
	t.Helper()
	quota := func(user, client *string, key string, value float64) metadata.Message {
		r := &metadata.ClientQuotaRecord{Key: key, Value: value}
		for i, name := range []*string{user, client} {
			if name == nil {
				continue
			}
			e := metadata.QuotaEntity{EntityType: []string{"user", "client-id"}[i], EntityName: name}
			if *name == "" {
				e.EntityName = nil // the default entity
			}
			r.Entity = append(r.Entity, e)
		}
		return r
	}
	img, _, err := metadata.Empty().Apply([]metadata.Message{
		quota(ptr("alice"), nil, "producer_byte_rate", 1),
		quota(ptr("alice"), nil, "consumer_byte_rate", 2),
		quota(ptr("alice"), ptr("app"), "producer_byte_rate", 3),
		quota(ptr(""), nil, "producer_byte_rate", 4),
		&metadata.UserScramCredentialRecord{Name: "alice", Mechanism: 1, Iterations: 4096, Salt: []byte{1}, StoredKey: []byte{2}, ServerKey: []byte{3}},
		&metadata.UserScramCredentialRecord{Name: "alice", Mechanism: 2, Iterations: 8192, Salt: []byte{1}, StoredKey: []byte{2}, ServerKey: []byte{3}},
		&metadata.UserScramCredentialRecord{Name: "bob", Mechanism: 1, Iterations: 4096, Salt: []byte{1}, StoredKey: []byte{2}, ServerKey: []byte{3}},
	}, 6, 1)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestDescribeClientQuotas(t *testing.T) {
	x := &fixture{TB: t, h: &Handler{Controller: imageOnly{image: securedImage(t)}}, session: &Session{}}
	type part = kmsg.DescribeClientQuotasRequestComponent
	user := func(kind int8, match *string) part {
		return part{EntityType: "user", MatchType: kmsg.QuotasMatchType(kind), Match: match}
	}
	for _, c := range []struct {
		name   string
		parts  []part
		strict bool
		want   int // entries
		code   protocol.Code
		word   string
	}{
		{"all", nil, false, 3, 0, ""},
		{"all, strictly", nil, true, 0, 0, ""},
		{"a user", []part{user(0, ptr("alice"))}, false, 2, 0, ""},
		{"a user alone", []part{user(0, ptr("alice"))}, true, 1, 0, ""},
		{"the default user", []part{user(1, nil)}, false, 1, 0, ""},
		{"any user", []part{user(2, nil)}, false, 3, 0, ""},
		{"a user and a client", []part{user(0, ptr("alice")), {EntityType: "client-id", Match: ptr("app")}}, true, 1, 0, ""},
		{"an address", []part{{EntityType: "ip", Match: ptr("10.0.0.1")}}, false, 0, 0, ""},
		{"an unknown entity", []part{{EntityType: "planet", Match: ptr("x")}}, false, 0, protocol.UnsupportedVersion, "Unsupported entity type planet"},
		{"no entity", []part{{Match: ptr("x")}}, false, 0, protocol.InvalidRequest, "Invalid empty entity type."},
		{"an entity twice", []part{user(0, ptr("a")), user(2, nil)}, false, 0, protocol.InvalidRequest, ""},
		{"exactly nothing", []part{user(0, nil)}, false, 0, protocol.InvalidRequest, ""},
		{"the default with a name", []part{user(1, ptr("a"))}, false, 0, protocol.InvalidRequest, ""},
		{"any with a name", []part{user(2, ptr("a"))}, false, 0, protocol.InvalidRequest, ""},
		{"an unknown match", []part{user(9, nil)}, false, 0, protocol.InvalidRequest, ""},
		{"a negative match", []part{user(-1, nil)}, false, 0, protocol.InvalidRequest, ""},
		{"an address and a user", []part{user(2, nil), {EntityType: "ip", MatchType: 2}}, false, 0, protocol.InvalidRequest, ""},
	} {
		x.eachVersion(48, func(version int16) {
			req := kmsg.NewPtrDescribeClientQuotasRequest()
			req.Components, req.Strict = c.parts, c.strict
			resp := ask[*kmsg.DescribeClientQuotasResponse](x, version, req)
			wantCode(t, c.name, resp.ErrorCode, c.code)
			if len(resp.Entries) != c.want || (resp.Entries == nil) != (c.code != 0) || c.word != "" && deref(resp.ErrorMessage) != c.word {
				t.Errorf("%s: %d entries, want %d; %q", c.name, len(resp.Entries), c.want, deref(resp.ErrorMessage))
			}
			if c.name == "a user alone" {
				e := resp.Entries[0]
				if len(e.Values) != 2 || e.Values[0].Key != "consumer_byte_rate" || e.Values[0].Value != 2 || *e.Entity[0].Name != "alice" || e.Entity[0].Type != "user" {
					t.Errorf("%+v", e)
				}
			}
		})
	}
}

func TestDescribeUserScramCredentials(t *testing.T) {
	x := &fixture{TB: t, h: &Handler{Controller: imageOnly{image: securedImage(t)}}, session: &Session{}}
	for _, c := range []struct {
		users []string
		want  []string // user:credentials or user:error
	}{
		{nil, []string{"alice:2", "bob:1"}},
		{[]string{"bob"}, []string{"bob:1"}},
		{[]string{"bob", "carol", "alice"}, []string{"bob:1", "carol:RESOURCE_NOT_FOUND", "alice:2"}},
		{[]string{"bob", "alice", "bob"}, []string{"bob:DUPLICATE_RESOURCE", "alice:2"}},
		{[]string{""}, []string{":RESOURCE_NOT_FOUND"}},
	} {
		req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
		for _, name := range c.users {
			user := kmsg.NewDescribeUserSCRAMCredentialsRequestUser()
			user.Name = name
			req.Users = append(req.Users, user)
		}
		resp := ask[*kmsg.DescribeUserSCRAMCredentialsResponse](x, 0, req)
		var got []string
		for _, r := range resp.Results {
			what := fmt.Sprint(len(r.CredentialInfos))
			if r.ErrorCode != 0 {
				what = protocol.Code(r.ErrorCode).Name()
			}
			got = append(got, r.User+":"+what)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || resp.ErrorCode != 0 {
			t.Errorf("%q: %q, want %q", c.users, got, c.want)
		}
	}
}
