package api

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/tidy"
)

// TestTableAndFiles: one file for each API, one row for each file.
func TestTableAndFiles(t *testing.T) {
	sources, err := tidy.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[int16]string{}
	for _, e := range Table() {
		rows[e.Key] = e.Name
	}
	for _, f := range tidy.Endpoints(sources, rows) {
		t.Errorf("%s: %s", f.Where, f.What)
	}
}

// kafkaRow is a line of testdata/api-versions.tsv.
type kafkaRow struct {
	name      string
	min, max  int16
	listeners string
}

// kafkaFacts reads what Apache Kafka 4.3.1 advertises.
func kafkaFacts(t *testing.T) (apis map[int16]kafkaRow, features map[string][2]int16, finalized map[string]int16) {
	t.Helper()
	text, err := os.ReadFile("testdata/api-versions.tsv")
	if err != nil {
		t.Fatal(err)
	}
	number := func(s string) int16 {
		n, err := strconv.ParseInt(s, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		return int16(n)
	}
	apis, features, finalized = map[int16]kafkaRow{}, map[string][2]int16{}, map[string]int16{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		switch {
		case strings.HasPrefix(line, "#"):
		case fields[0] == "feature":
			low, high, _ := strings.Cut(fields[2], "..")
			features[fields[1]] = [2]int16{number(low), number(high)}
		case fields[0] == "finalized":
			finalized[fields[1]] = number(fields[2])
		default:
			apis[number(fields[0])] = kafkaRow{fields[1], number(fields[2]), number(fields[3]), fields[4]}
		}
	}
	return apis, features, finalized
}

// TestAdvertisesWhatKafkaDoes compares the answer of a client's first request
// with Kafka's: for every API that is served the same versions, of those
// listeners only where Kafka serves it, and Kafka's features.
func TestAdvertisesWhatKafkaDoes(t *testing.T) {
	apis, features, finalized := kafkaFacts(t)
	story(t, nil, func(t *testing.T, x *fixture) {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "test", "1"
		resp := ask[*kmsg.ApiVersionsResponse](x, 4, req)
		for _, key := range resp.ApiKeys {
			row, ok := apis[key.ApiKey]
			if !ok || key.MinVersion != row.min || key.MaxVersion != row.max || !strings.Contains(row.listeners, "broker") {
				t.Errorf("%s is advertised as %+v, Kafka has %+v", kmsg.NameForKey(key.ApiKey), key, row)
			}
		}
		got := map[string][2]int16{}
		for _, f := range resp.SupportedFeatures {
			got[f.Name] = [2]int16{f.MinVersion, f.MaxVersion}
		}
		if fmt.Sprint(got) != fmt.Sprint(features) {
			t.Errorf("supported features %v, want %v", got, features)
		}
		levels := map[string]int16{}
		for _, f := range resp.FinalizedFeatures {
			levels[f.Name] = f.MaxVersionLevel
			if f.MinVersionLevel != f.MaxVersionLevel {
				t.Errorf("finalized %+v", f)
			}
		}
		if fmt.Sprint(levels) != fmt.Sprint(finalized) {
			t.Errorf("finalized features %v, want %v", levels, finalized)
		}
		if resp.FinalizedFeaturesEpoch != x.controller.Image().Offset {
			t.Errorf("finalized as of %d, the metadata is at %d", resp.FinalizedFeaturesEpoch, x.controller.Image().Offset)
		}
		x.session.Controller = true
		for _, key := range ask[*kmsg.ApiVersionsResponse](x, 4, req).ApiKeys {
			if row := apis[key.ApiKey]; !strings.Contains(row.listeners, "controller") {
				t.Errorf("%s is served on controller listeners, by Kafka on %s only", row.name, row.listeners)
			}
		}
	})
}

// What this issue promises is served; what it does not is not advertised.
func TestServes(t *testing.T) {
	var keys []int16
	for _, e := range Table() {
		keys = append(keys, e.Key)
		if e.Key != 0 && e.MaxFrame != smallFrame && e.MaxFrame != listFrame && e.MaxFrame != largeFrame {
			t.Errorf("%s may send frames of %d bytes", e.Name, e.MaxFrame)
		}
	}
	promised := []int16{0, 1, 2, 3, 17, 18, 19, 20, 21, 22, 23, 29, 30, 31, 32, 33, 35, 37, 38, 39, 40, 41, 44, 46, 48, 50, 55, 57, 60, 61, 65, 66, 74, 75}
	for _, key := range promised {
		if !slices.Contains(keys, key) {
			t.Errorf("%s is not served", kmsg.NameForKey(key))
		}
	}
}

// Whoever waits for other clients, as long as they like, holds no part of the
// memory budget; whoever waits for this node does until he is done.
func TestWhoHoldsMemoryWhileWaiting(t *testing.T) {
	join := joinRequest("")
	join.Version = 3
	fetch := fetchOf(12, fetchPart{topic: "a"})
	fetch.MaxWaitMillis = 60_000
	create := createOf("b", 1, 1)
	create.Version = 5
	for _, c := range []struct {
		req   kmsg.Request
		gives bool
	}{{join, true}, {fetch, true}, {create, false}} {
		story(t, nil, func(t *testing.T, x *fixture) {
			x.topic("a", 1)
			x.coordinated("g")
			name := kmsg.NameForKey(c.req.Key())
			release := x.hold()
			ctx, cancel := context.WithCancel(context.Background())
			r, given := x.request(c.req), false
			r.Consumed = func() { given = true }
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				reply, err := find(c.req.Key()).Handle(x.h, ctx, r)
				if x.must(err); reply.Release != nil {
					reply.Release()
				}
			}()
			synctest.Wait()
			select {
			case <-answered:
				t.Errorf("%s does not wait", name)
			default:
				if given != c.gives {
					t.Errorf("%s has given its memory back: %t", name, given)
				}
			}
			release()
			cancel()
			<-answered
		})
	}
}

// A client with 15,000 topics of the longest names, or as many groups, asks for
// all of them in one request.
func TestListsOfClientsFit(t *testing.T) {
	const many = 15_000
	names := make([]string, many)
	metadata, configs := kmsg.NewPtrMetadataRequest(), kmsg.NewPtrDescribeConfigsRequest()
	fetch, offsets := kmsg.NewPtrFetchRequest(), kmsg.NewPtrListOffsetsRequest()
	remove, coordinators := kmsg.NewPtrDeleteTopicsRequest(), kmsg.NewPtrFindCoordinatorRequest()
	for i := range names {
		names[i] = fmt.Sprintf("%0249d", i)
		metadata.Topics = append(metadata.Topics, kmsg.MetadataRequestTopic{Topic: &names[i]})
		configs.Resources = append(configs.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: names[i]})
		fetch.Topics = append(fetch.Topics, kmsg.FetchRequestTopic{Partitions: make([]kmsg.FetchRequestTopicPartition, 4)})
		offsets.Topics = append(offsets.Topics, kmsg.ListOffsetsRequestTopic{Topic: names[i][:150], Partitions: make([]kmsg.ListOffsetsRequestTopicPartition, 4)})
		remove.Topics = append(remove.Topics, kmsg.DeleteTopicsRequestTopic{TopicID: [16]byte{byte(i)}})
	}
	remove.TopicNames, coordinators.CoordinatorKeys = names, names
	for _, r := range []kmsg.Request{metadata, configs, fetch, offsets, remove, coordinators} {
		e := find(r.Key())
		r.SetVersion(e.Max)
		if size := len(r.AppendTo(nil)); size > int(e.MaxFrame) {
			t.Errorf("%s: %d bytes, but %d are taken", e.Name, size, e.MaxFrame)
		}
	}
}
