package controller

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// DeleteTopics deletes topics, by name or, since version 6, by id.
func (c *Controller) DeleteTopics(ctx context.Context, req *kmsg.DeleteTopicsRequest) *kmsg.DeleteTopicsResponse {
	resp, err := submitWithin(ctx, c, req.TimeoutMillis, func(v *view) (outcome[*kmsg.DeleteTopicsResponse], error) {
		records, resp, err := deleteTopics(v, req)
		return outcome[*kmsg.DeleteTopicsResponse]{records: records, reply: resp}, err
	})
	if err == nil {
		return resp
	}
	resp = req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	for _, name := range req.TopicNames {
		resp.Topics = append(resp.Topics, deletedTopic(&name, metadata.UUID{}, err))
	}
	for _, t := range req.Topics {
		resp.Topics = append(resp.Topics, deletedTopic(t.Topic, t.TopicID, err))
	}
	return resp
}

// deletion is DeleteTopics being decided. Kafka's rules for what is named twice:
// a name or an id that stands there twice is refused once, and so is a name
// whose id stands there too; the topic then stays.
type deletion struct {
	v       *view
	resp    *kmsg.DeleteTopicsResponse
	names   []string // in order, without repetitions
	ids     []metadata.UUID
	nTimes  map[string]int
	idTimes map[metadata.UUID]int
}

func deleteTopics(v *view, req *kmsg.DeleteTopicsRequest) ([]metadata.Message, *kmsg.DeleteTopicsResponse, error) {
	if !v.cfg.Topics.DeleteEnable {
		if req.Version < 3 {
			return nil, nil, protocol.Errorf(protocol.InvalidRequest, "Topic deletion is disabled.")
		}
		return nil, nil, protocol.TopicDeletionDisabled
	}
	d := &deletion{v: v, resp: req.ResponseKind().(*kmsg.DeleteTopicsResponse), nTimes: map[string]int{}, idTimes: map[metadata.UUID]int{}}
	for _, name := range req.TopicNames {
		d.name(name)
	}
	for _, t := range req.Topics {
		none := t.TopicID == metadata.UUID{}
		switch {
		case t.Topic == nil && none:
			d.answer(nil, t.TopicID, protocol.Errorf(protocol.InvalidRequest, "Neither topic name nor id were specified."))
		case t.Topic == nil:
			d.id(t.TopicID)
		case none:
			d.name(*t.Topic)
		default:
			d.answer(t.Topic, t.TopicID, protocol.Errorf(protocol.InvalidRequest, "You may not specify both topic name and topic id."))
		}
	}
	records := d.decide()
	return records, d.resp, bounded(records)
}

func (d *deletion) name(name string) {
	if d.nTimes[name]++; d.nTimes[name] == 1 {
		d.names = append(d.names, name)
	}
}

func (d *deletion) id(id metadata.UUID) {
	if d.idTimes[id]++; d.idTimes[id] == 1 {
		d.ids = append(d.ids, id)
	}
}

func (d *deletion) answer(name *string, id metadata.UUID, err error) {
	d.resp.Topics = append(d.resp.Topics, deletedTopic(name, id, err))
}

func (d *deletion) decide() (records []metadata.Message) {
	byName := map[metadata.UUID]bool{}
	for _, name := range d.names {
		t := d.v.img.TopicByName(name)
		switch {
		case d.nTimes[name] > 1:
			d.answer(&name, metadata.UUID{}, protocol.Errorf(protocol.InvalidRequest, "Duplicate topic name."))
		case t == nil:
			d.answer(&name, metadata.UUID{}, withText(protocol.UnknownTopicOrPartition))
		case d.idTimes[t.ID] > 0:
			byName[t.ID] = true
			d.answer(&name, t.ID, protocol.Errorf(protocol.InvalidRequest, "The provided topic name maps to an ID that was already supplied."))
		default:
			records = append(records, &metadata.RemoveTopicRecord{TopicID: t.ID})
			d.answer(&name, t.ID, nil)
		}
	}
	for _, id := range d.ids {
		t := d.v.img.TopicByID(id)
		switch {
		case d.idTimes[id] > 1:
			d.answer(nil, id, protocol.Errorf(protocol.InvalidRequest, "Duplicate topic id."))
		case t == nil:
			d.answer(nil, id, withText(protocol.UnknownTopicID))
		case !byName[id]:
			records = append(records, &metadata.RemoveTopicRecord{TopicID: id})
			d.answer(&t.Name, id, nil)
		}
	}
	return records
}

func deletedTopic(name *string, id metadata.UUID, err error) kmsg.DeleteTopicsResponseTopic {
	t := kmsg.NewDeleteTopicsResponseTopic()
	t.Topic, t.TopicID, t.ErrorCode, t.ErrorMessage = name, id, code(err), text(err)
	return t
}
