package group

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// describer is a group that DescribeGroups describes. Consumer groups have an
// API of their own.
type describer interface {
	describe() kmsg.DescribeGroupsResponseGroup
	// describedSize is what the description takes, in bytes.
	describedSize() int
}

func (g *simple) describedSize() int { return meter.Size[kmsg.DescribeGroupsResponseGroup]() }

// describedSize implements describer. Metadata and assignments are not copied
// before they are encoded.
func (g *classicGroup) describedSize() int {
	size := meter.Size[kmsg.DescribeGroupsResponseGroup]()
	for _, c := range g.inOrder {
		size += meter.Size[kmsg.DescribeGroupsResponseGroupMember]() + len(c.id) + len(c.client.ID) + len(c.assignment)
		if g.current == classicStable {
			size += len(c.metadata(*g.protocol))
		}
	}
	return size
}

func (g *simple) describe() kmsg.DescribeGroupsResponseGroup {
	d := kmsg.NewDescribeGroupsResponseGroup()
	d.Group, d.State = g.name, g.state()
	return d
}

// describe implements describer. What the members subscribe to is told
// of a stable group alone.
func (g *classicGroup) describe() kmsg.DescribeGroupsResponseGroup {
	d := kmsg.NewDescribeGroupsResponseGroup()
	d.Group, d.State, d.ProtocolType = g.groupID, g.state(), g.protoType
	if g.current == classicStable {
		d.Protocol = *g.protocol
	}
	for _, c := range g.inOrder {
		member := kmsg.DescribeGroupsResponseGroupMember{
			MemberID: c.id, InstanceID: c.instanceID, ClientID: c.client.ID, ClientHost: c.client.Host, MemberAssignment: c.assignment,
		}
		if g.current == classicStable {
			member.ProtocolMetadata = c.metadata(d.Protocol)
		}
		d.Members = append(d.Members, member)
	}
	return d
}

// ListGroups lists the groups of the partition by id, versions 0–5. A filter is
// empty for all; its words are compared without regard to case.
func (m *Machine) ListGroups(_ coordinator.Moment, to coordinator.Ticket, bill *meter.Meter, states, types []string) coordinator.Output {
	resp := kmsg.NewPtrListGroupsResponse()
	for _, id := range m.sorted() {
		g := m.groups[id]
		if !anyOf(states, g.state()) || !anyOf(types, string(g.kind())) {
			continue
		}
		if bill.Add(meter.Size[kmsg.ListGroupsResponseGroup]()+len(id)) != nil {
			break
		}
		listed := kmsg.NewListGroupsResponseGroup()
		listed.Group, listed.ProtocolType = id, g.protocolType()
		listed.GroupState, listed.GroupType = g.state(), string(g.kind())
		resp.Groups = append(resp.Groups, listed)
	}
	return coordinator.Answer(to, resp)
}

// anyOf tells whether a filter lets a word through.
func anyOf(filter []string, word string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(strings.TrimSpace(f), word) })
}

// DescribeGroups describes one classic group, versions 0–6. Any other is
// GROUP_ID_NOT_FOUND from version 6 on (KIP-1043), and dead before.
func (m *Machine) DescribeGroups(_ coordinator.Moment, to coordinator.Ticket, bill *meter.Meter, version int16, id string) coordinator.Output {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	g := m.groups[id]
	if d, ok := g.(describer); ok {
		if bill.Add(d.describedSize()) != nil {
			return coordinator.Answer(to, resp)
		}
		resp.Groups = append(resp.Groups, d.describe())
		return coordinator.Answer(to, resp)
	}
	d := kmsg.NewDescribeGroupsResponseGroup()
	d.Group, d.State = id, "Dead"
	if version >= 6 {
		why := fmt.Sprintf("Group %s not found.", id)
		if g != nil {
			why = fmt.Sprintf("Group %s is not a classic group.", id)
		}
		d.ErrorCode, d.ErrorMessage = int16(protocol.GroupIDNotFound), &why
	}
	resp.Groups = append(resp.Groups, d)
	return coordinator.Answer(to, resp)
}

// DeleteGroups deletes one group with its offsets, versions 0–2. Should the
// records not fit one batch, the group's own come last.
func (m *Machine) DeleteGroups(_ coordinator.Moment, to coordinator.Ticket, id string) coordinator.Output {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	answer := kmsg.NewDeleteGroupsResponseGroup()
	answer.Group = id
	g := m.groups[id]
	err := error(protocol.GroupIDNotFound)
	if g != nil {
		err = g.checkDelete()
	}
	out := coordinator.Output{Split: true}
	if err != nil {
		answer.ErrorCode = int16(protocol.CodeOf(err))
	} else {
		out.Records = append(m.offsets[id].tombstones(id), g.tombstones()...)
	}
	resp.Groups = append(resp.Groups, answer)
	out.Replies = []coordinator.Reply{{To: to, Response: resp}}
	return out
}
