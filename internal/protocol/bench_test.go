package protocol

import "testing"

// BenchmarkAppendResponse builds responses for 100 partitions.
func BenchmarkAppendResponse(b *testing.B) {
	produced := ProduceResponse{Topics: []ProduceResponseTopic{{Partitions: make([]ProduceResponsePartition, 100)}}}
	fetched := FetchResponse{Topics: []FetchResponseTopic{{Partitions: make([]FetchResponsePartition, 100)}}}
	for i := range fetched.Topics[0].Partitions {
		fetched.Topics[0].Partitions[i].RecordsLen = 1000
	}
	var dst []byte
	b.Run("produce", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = AppendProduceResponse(dst[:0], 13, &produced)
		}
	})
	b.Run("fetch", func(b *testing.B) {
		b.ReportAllocs()
		var slots []int
		for b.Loop() {
			dst, slots = AppendFetchResponse(dst[:0], 18, &fetched, slots[:0])
		}
	})
}
