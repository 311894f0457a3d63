package protocol

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestDistinct(t *testing.T) {
	topic := func(name string, partitions ...int32) kmsg.OffsetFetchRequestGroupTopic {
		topic := kmsg.NewOffsetFetchRequestGroupTopic()
		topic.Topic, topic.Partitions = name, partitions
		return topic
	}
	group := func(name string, topics ...kmsg.OffsetFetchRequestGroupTopic) kmsg.OffsetFetchRequestGroup {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.Topics = name, topics
		return g
	}
	resource := func(kind kmsg.ConfigResourceType, name string, keys []string) kmsg.DescribeConfigsRequestResource {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, keys
		return r
	}
	for name, c := range map[string]struct{ request, want kmsg.Request }{
		"strings": {
			&kmsg.DescribeGroupsRequest{Groups: []string{"b", "a", "b", "c", "a"}},
			&kmsg.DescribeGroupsRequest{Groups: []string{"b", "a", "c"}},
		},
		"nested": {
			&kmsg.OffsetFetchRequest{Groups: []kmsg.OffsetFetchRequestGroup{
				group("g", topic("t", 0, 1, 0), topic("u", 5)), group("h", topic("t", 7, 7)), group("g", topic("t", 1, 2)),
			}},
			&kmsg.OffsetFetchRequest{Groups: []kmsg.OffsetFetchRequestGroup{
				group("g", topic("t", 0, 1, 2), topic("u", 5)), group("h", topic("t", 7)),
			}},
		},
		"null is not empty": {
			&kmsg.DescribeConfigsRequest{Resources: []kmsg.DescribeConfigsRequestResource{
				resource(2, "t", nil), resource(2, "t", []string{}), resource(4, "t", nil), resource(2, "t", []string{"a"}), resource(2, "t", nil),
			}},
			&kmsg.DescribeConfigsRequest{Resources: []kmsg.DescribeConfigsRequestResource{
				resource(2, "t", nil), resource(2, "t", []string{"a"}), resource(4, "t", nil),
			}},
		},
		"ids": {
			&kmsg.MetadataRequest{Topics: []kmsg.MetadataRequestTopic{{TopicID: [16]byte{1}}, {TopicID: [16]byte{2}}, {TopicID: [16]byte{1}}}},
			&kmsg.MetadataRequest{Topics: []kmsg.MetadataRequestTopic{{TopicID: [16]byte{1}}, {TopicID: [16]byte{2}}}},
		},
	} {
		if Distinct(c.request); !reflect.DeepEqual(c.request, c.want) {
			t.Errorf("%s: %+v", name, c.request)
		}
	}
}

// For every API: what repeats a request is the request, and a request without
// repetition stays as it is.
func TestDistinctOfEveryRequest(t *testing.T) {
	for key := range int16(len(shapes)) {
		if shapeOf(key) == nil {
			continue
		}
		for seed := range uint64(20) {
			once := randomDistinct(key, seed)
			twice, other := randomDistinct(key, seed), randomDistinct(key, seed)
			mergeArrays(reflect.ValueOf(twice).Elem(), reflect.ValueOf(other).Elem())
			Distinct(twice)
			if !reflect.DeepEqual(once, twice) {
				t.Fatalf("%s, seed %d:\n%+v\n%+v", APIName(key), seed, once, twice)
			}
		}
	}
}

// randomDistinct is a request of random content after Distinct.
func randomDistinct(key int16, seed uint64) kmsg.Request {
	request := NewRequest(key, shapes[key].max)
	fillRandom(reflect.ValueOf(request).Elem(), rand.New(rand.NewPCG(seed, uint64(key))))
	Distinct(request)
	return request
}

// fillRandom fills a structure with few different values, so that they repeat.
func fillRandom(v reflect.Value, r *rand.Rand) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); field.CanSet() && field.Type() != reflect.TypeFor[kmsg.Tags]() {
				fillRandom(field, r)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillRandom(v.Elem(), r)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(4), 8))
		for i := range v.Len() {
			fillRandom(v.Index(i), r)
		}
	case reflect.Array:
		v.Index(0).SetUint(r.Uint64N(2))
	case reflect.String:
		v.SetString(fmt.Sprint(r.IntN(3)))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat(float64(r.IntN(3)))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(r.Uint64N(3))
	default:
		v.SetInt(r.Int64N(3))
	}
}

// The work of Distinct grows with the request and no faster.
func BenchmarkDistinct(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				request := &kmsg.OffsetFetchRequest{Groups: []kmsg.OffsetFetchRequestGroup{{Topics: make([]kmsg.OffsetFetchRequestGroupTopic, n)}}}
				for i := range n {
					request.Groups[0].Topics[i].Partitions = []int32{int32(i)}
				}
				Distinct(request)
			}
		})
	}
}
