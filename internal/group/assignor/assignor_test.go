package assignor

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"ottla/internal/schema"
)

// randomGroup draws a group of up to members members and topics topics; those
// of a homogeneous one subscribe to all topics.
func randomGroup(r *rand.Rand, members, topics int, homogeneous bool) *Group {
	g := &Group{}
	for t := range topics {
		g.Topics = append(g.Topics, Topic{ID: schema.UUID{15: byte(t + 1)}, Partitions: 1 + r.Int32N(9)})
	}
	for m := range members {
		member := Member{ID: fmt.Sprintf("m%02d", m)}
		if r.IntN(3) == 0 {
			member.InstanceID = ptr(fmt.Sprintf("i%02d", r.IntN(100)))
		}
		for t := range topics {
			if homogeneous || r.IntN(2) == 0 {
				member.Topics = append(member.Topics, t)
			}
		}
		g.Members = append(g.Members, member)
	}
	return subscribedOnly(g)
}

func ptr[T any](v T) *T { return &v }

// subscribedOnly drops the topics that nobody subscribes to.
func subscribedOnly(g *Group) *Group {
	subscribers := g.subscribers()
	place := make([]int, len(g.Topics))
	var topics []Topic
	for t := range g.Topics {
		place[t] = len(topics)
		if len(subscribers[t]) > 0 {
			topics = append(topics, g.Topics[t])
		}
	}
	g.Topics = topics
	for m := range g.Members {
		for i, t := range g.Members[m].Topics {
			g.Members[m].Topics[i] = place[t]
		}
	}
	return g
}

// change makes the group into another one that owns what it was given: a
// member leaves or comes, a topic grows, a subscription changes.
func change(r *rand.Rand, g *Group, got [][]TopicPartitions, homogeneous bool) *Group {
	next := &Group{Topics: slices.Clone(g.Topics)}
	for m, member := range g.Members {
		next.Members = append(next.Members, Member{member.ID, member.InstanceID, slices.Clone(member.Topics), got[m]})
	}
	switch r.IntN(4) {
	case 0:
		if len(next.Members) > 1 {
			next.Members = slices.Delete(next.Members, 0, 1)
		}
	case 1:
		all := make([]int, len(g.Topics))
		for t := range all {
			all[t] = t
		}
		next.Members = append(next.Members, Member{ID: fmt.Sprintf("n%d", r.IntN(1000)), Topics: all})
	case 2:
		next.Topics[r.IntN(len(next.Topics))].Partitions += r.Int32N(5)
	default:
		if m := r.IntN(len(next.Members)); !homogeneous && len(next.Members[m].Topics) > 0 {
			next.Members[m].Topics = next.Members[m].Topics[1:]
		}
	}
	return subscribedOnly(next)
}

// check holds what every assignor promises: each partition of a topic with
// subscribers has one owner, a subscriber (G1), and lists ascend.
func check(t *testing.T, g *Group, got [][]TopicPartitions) (loads []int) {
	t.Helper()
	owned := map[schema.UUID]map[int32]bool{}
	loads = make([]int, len(g.Members))
	for m, lists := range got {
		for i, tp := range lists {
			if i > 0 && slices.Compare(lists[i-1].TopicID[:], tp.TopicID[:]) >= 0 || len(tp.Partitions) == 0 || !slices.IsSorted(tp.Partitions) {
				t.Fatalf("member %d: %v does not ascend", m, lists)
			}
			topic := slices.IndexFunc(g.Topics, func(x Topic) bool { return x.ID == tp.TopicID })
			if topic < 0 || !slices.Contains(g.Members[m].Topics, topic) {
				t.Fatalf("member %d gets %v, which it does not subscribe to", m, tp)
			}
			for _, p := range tp.Partitions {
				if owned[tp.TopicID] == nil {
					owned[tp.TopicID] = map[int32]bool{}
				}
				if owned[tp.TopicID][p] || p >= g.Topics[topic].Partitions {
					t.Fatalf("member %d gets %v: partition %d has an owner or is none", m, tp, p)
				}
				owned[tp.TopicID][p] = true
			}
			loads[m] += len(tp.Partitions)
		}
	}
	for _, topic := range g.Topics {
		if len(owned[topic.ID]) != int(topic.Partitions) {
			t.Fatalf("%d of %d partitions of %v have owners", len(owned[topic.ID]), topic.Partitions, topic.ID)
		}
	}
	return loads
}

// kept counts the partitions that stay with their owner.
func kept(g *Group, got [][]TopicPartitions) (n int) {
	for m := range g.Members {
		n += common(g.Members[m].Owned, got[m])
	}
	return n
}

func common(x, y []TopicPartitions) (n int) {
	for _, a := range x {
		for _, b := range y {
			for _, p := range a.Partitions {
				if a.TopicID == b.TopicID && slices.Contains(b.Partitions, p) {
					n++
				}
			}
		}
	}
	return n
}

func TestUniformHomogeneous(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := randomGroup(r, 1+r.IntN(8), 1+r.IntN(4), true)
		for range 6 {
			got := Uniform(g)
			loads := check(t, g, got)
			least, most := slices.Min(loads), slices.Max(loads)
			if most > least+1 {
				t.Fatalf("seed %d: loads %v", seed, loads)
			}
			// The most that any balanced assignment can keep: each member what it
			// may still have, up to the quotas, the larger ones for the richest.
			total := 0
			var mayKeep []int
			for m := range g.Members {
				mayKeep = append(mayKeep, stillThere(g, m))
			}
			for _, topic := range g.Topics {
				total += int(topic.Partitions)
			}
			slices.SortFunc(mayKeep, func(x, y int) int { return y - x })
			more := total % len(g.Members)
			want := 0
			for i, n := range mayKeep {
				quota := total / len(g.Members)
				if i < more {
					quota++
				}
				want += min(n, quota)
			}
			if n := kept(g, got); n != want {
				t.Fatalf("seed %d: %d partitions stay, %d can", seed, n, want)
			}
			if again := Uniform(g); !reflect.DeepEqual(got, again) {
				t.Fatalf("seed %d: not deterministic", seed)
			}
			g = change(r, g, got, true)
		}
	}
}

// stillThere counts what a member owns and may keep.
func stillThere(g *Group, m int) (n int) {
	for _, tp := range g.Members[m].Owned {
		for _, topic := range g.Topics {
			for _, p := range tp.Partitions {
				if topic.ID == tp.TopicID && p < topic.Partitions {
					n++
				}
			}
		}
	}
	return n
}

func TestUniformHeterogeneous(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		g := randomGroup(r, 2+r.IntN(7), 1+r.IntN(5), false)
		if len(g.Topics) == 0 {
			continue
		}
		for range 6 {
			got := Uniform(g)
			loads := check(t, g, got)
			for m := range got {
				for _, tp := range got[m] {
					topic := slices.IndexFunc(g.Topics, func(x Topic) bool { return x.ID == tp.TopicID })
					for _, other := range g.subscribers()[topic] {
						if loads[m] > loads[other]+1 {
							t.Fatalf("seed %d: member %d has %d partitions, one of topic %d, member %d has %d", seed, m, loads[m], topic, other, loads[other])
						}
					}
				}
			}
			if again := Uniform(g); !reflect.DeepEqual(got, again) {
				t.Fatalf("seed %d: not deterministic", seed)
			}
			same := &Group{Topics: g.Topics}
			for m, member := range g.Members {
				member.Owned = got[m]
				same.Members = append(same.Members, member)
			}
			if again := Uniform(same); !reflect.DeepEqual(got, again) {
				t.Fatalf("seed %d: partitions move though nothing changed\n%v\n%v", seed, got, again)
			}
			g = change(r, g, got, false)
			if len(g.Topics) == 0 {
				break
			}
		}
	}
}

// TestUniformMovesLittle: a member that comes takes its share and nothing else
// moves; one that goes leaves its share and nothing else moves.
func TestUniformMovesLittle(t *testing.T) {
	g := &Group{Topics: []Topic{{schema.UUID{1}, 6}, {schema.UUID{2}, 6}}}
	for m := range 3 {
		g.Members = append(g.Members, Member{ID: fmt.Sprint(m), Topics: []int{0, 1}})
	}
	got := Uniform(g)
	g.Members = append(g.Members, Member{ID: "9", Topics: []int{0, 1}})
	for m := range got {
		g.Members[m].Owned = got[m]
	}
	grown := Uniform(g)
	if n := kept(g, grown); n != 9 {
		t.Errorf("%d of 12 partitions stay when a fourth member comes, want 9", n)
	}
	for m := range grown {
		g.Members[m].Owned = grown[m]
	}
	g.Members = g.Members[1:]
	if n := kept(g, Uniform(g)); n != 9 {
		t.Errorf("%d of 9 partitions stay when a member goes", n)
	}
}

func TestRange(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		homogeneous := r.IntN(2) == 0
		g := randomGroup(r, 1+r.IntN(8), 1+r.IntN(4), homogeneous)
		got := Range(g)
		check(t, g, got)
		for topic, members := range g.subscribers() {
			var sizes []int
			for _, m := range members {
				size := 0
				for _, tp := range got[m] {
					if tp.TopicID == g.Topics[topic].ID {
						size = len(tp.Partitions)
						if int(tp.Partitions[size-1]-tp.Partitions[0]) != size-1 {
							t.Fatalf("seed %d: %v is no range", seed, tp)
						}
					}
				}
				sizes = append(sizes, size)
			}
			if slices.Max(sizes) > slices.Min(sizes)+1 {
				t.Fatalf("seed %d: topic %d is cut into %v", seed, topic, sizes)
			}
		}
	}
}

// TestRangeJoins is the example of Kafka's documentation: topics of equally many
// partitions are cut alike, static members first and by instance id.
func TestRangeJoins(t *testing.T) {
	g := &Group{
		Topics: []Topic{{schema.UUID{1}, 3}, {schema.UUID{2}, 3}},
		Members: []Member{
			{ID: "a", Topics: []int{0, 1}},
			{ID: "b", Topics: []int{0, 1}, InstanceID: ptr("i2")},
			{ID: "c", Topics: []int{0, 1}, InstanceID: ptr("i1")},
		},
	}
	want := [][]TopicPartitions{
		{{schema.UUID{1}, []int32{2}}, {schema.UUID{2}, []int32{2}}},
		{{schema.UUID{1}, []int32{1}}, {schema.UUID{2}, []int32{1}}},
		{{schema.UUID{1}, []int32{0}}, {schema.UUID{2}, []int32{0}}},
	}
	if got := Range(g); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEmpty(t *testing.T) {
	for _, name := range []string{UniformName, RangeName} {
		assign := ByName(name)
		if got := assign(&Group{}); len(got) != 0 {
			t.Errorf("%s: %v for nobody", name, got)
		}
		if got := assign(&Group{Members: []Member{{ID: "a"}}}); len(got) != 1 || got[0] != nil {
			t.Errorf("%s: %v for nothing", name, got)
		}
	}
	if ByName("sticky") != nil {
		t.Error("an assignor that nobody wrote")
	}
}

func BenchmarkAssign(b *testing.B) {
	for _, size := range []struct{ members, topics int }{{100, 100}, {1000, 1000}} {
		for _, mixed := range []bool{false, true} {
			g := &Group{}
			for t := range size.topics {
				g.Topics = append(g.Topics, Topic{ID: schema.UUID{14: byte(t >> 8), 15: byte(t)}, Partitions: 10})
			}
			for m := range size.members {
				member := Member{ID: fmt.Sprintf("%04d", m)}
				for t := range size.topics {
					if !mixed || (t+m)%2 == 0 {
						member.Topics = append(member.Topics, t)
					}
				}
				g.Members = append(g.Members, member)
			}
			for m, got := range Uniform(g) {
				g.Members[m].Owned = got
			}
			g.Members = g.Members[1:]
			for _, name := range []string{UniformName, RangeName} {
				b.Run(fmt.Sprintf("%s/members=%d/partitions=%d/mixed=%t", name, size.members, 10*size.topics, mixed), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						ByName(name)(g)
					}
				})
			}
		}
	}
}
