package protocol

// Reset forgets the content and keeps the memory for the next response.
func (r *ProduceResponse) Reset() {
	for i := range r.Topics {
		clear(r.Topics[i].Partitions)
		r.Topics[i] = ProduceResponseTopic{Partitions: r.Topics[i].Partitions[:0]}
	}
	clear(r.NodeEndpoints)
	*r = ProduceResponse{Topics: r.Topics[:0], NodeEndpoints: r.NodeEndpoints[:0]}
}

// AddTopic adds an empty topic and returns it. It is valid until the next call.
func (r *ProduceResponse) AddTopic() *ProduceResponseTopic {
	if n := len(r.Topics); n < cap(r.Topics) {
		r.Topics = r.Topics[:n+1]
	} else {
		r.Topics = append(r.Topics, ProduceResponseTopic{})
	}
	return &r.Topics[len(r.Topics)-1]
}

// AddPartition adds an empty partition and returns it. It is valid until the
// next call.
func (t *ProduceResponseTopic) AddPartition() *ProduceResponsePartition {
	t.Partitions = append(t.Partitions, ProduceResponsePartition{})
	return &t.Partitions[len(t.Partitions)-1]
}

// Reset forgets the content and keeps the memory for the next response.
func (r *FetchResponse) Reset() {
	for i := range r.Topics {
		clear(r.Topics[i].Partitions)
		r.Topics[i] = FetchResponseTopic{Partitions: r.Topics[i].Partitions[:0]}
	}
	clear(r.NodeEndpoints)
	*r = FetchResponse{Topics: r.Topics[:0], NodeEndpoints: r.NodeEndpoints[:0]}
}

// AddTopic adds an empty topic and returns it. It is valid until the next call.
func (r *FetchResponse) AddTopic() *FetchResponseTopic {
	if n := len(r.Topics); n < cap(r.Topics) {
		r.Topics = r.Topics[:n+1]
	} else {
		r.Topics = append(r.Topics, FetchResponseTopic{})
	}
	return &r.Topics[len(r.Topics)-1]
}
