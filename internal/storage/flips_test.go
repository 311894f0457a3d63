package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// full fills a log dir with everything that storage writes: two partitions with
// several segments, every codec, transactions that commit and abort, idempotent
// producers, leader epochs, a start that moved. It is left by a clean stop, or
// by a kill with a part of it above the recovery point.
func full(t testing.TB, clean bool) (*vfs.Mem, Options) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 1500, 200 })
	second := must(o.m.Create(TopicPartition{Topic: "u", TopicID: [16]byte{2}, Partition: 3}, o.o.Default, [16]byte{}))(t)
	for i := range 48 {
		if i == 40 && !clean {
			o.m.dirs[0].flusher.round()
			if err := o.m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		epoch := int32(i / 15)
		producer := &record.ProducerInfo{ID: 1 + int64(i%2), Epoch: 3, BaseSequence: int32(i / 2)}
		b := record.NewBuilder(record.BuilderOptions{Transactional: true, Producer: producer})
		b.Append(startMs+int64(i), []byte("k"), []byte("value"))
		if _, err := o.AppendAsLeader(must(b.Build())(t), AppendOptions{LeaderEpoch: epoch}); err != nil {
			t.Fatal(err)
		}
		if i%6 >= 4 {
			if err := o.mark(1+int64(i%2), 3, i%12 < 6, 1); err != nil {
				t.Fatal(err)
			}
		}
		b = record.NewBuilder(record.BuilderOptions{Compression: record.Compression(i % 5), Codecs: o.o.Codecs})
		for k := range 3 {
			b.Append(startMs+int64(i*10+k), fmt.Append(nil, i), bytes.Repeat([]byte("text "), 9), record.Header{Key: []byte("h"), Value: []byte{1}})
		}
		if _, err := second.AppendAsLeader(must(b.Build())(t), AppendOptions{LeaderEpoch: epoch}); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []*Log{o.Log, second} {
		l.SetHighWatermark(l.EndOffset())
		if err := l.IncrementStartOffset(4); err != nil {
			t.Fatal(err)
		}
	}
	if len(o.segments) < 4 || len(second.segments) < 4 {
		t.Fatal(len(o.segments), len(second.segments))
	}
	if clean {
		o.close()
	} else {
		o.m.dirs[0].flusher.round()
		o.m.abandon()
	}
	return o.mem, o.o
}

// state is what a dir holds, as far as the node goes by it: everything but the
// high watermark, which a leader finds out anew, and the epoch of the broker
// that stopped.
type state struct {
	batches map[string][]record.Batch
	rest    string
	id      [16]byte // of the dir
	// aborted is what readers of t are told to leave out, by where they read;
	// without those that were told that something is wrong.
	aborted map[[2]int64]string
	told    []error // of what cannot be opened or read
}

// readState opens a dir, whose id the cluster knows, and reads everything in
// every way.
func readState(t testing.TB, o Options, mem *vfs.Mem, id [16]byte) (s state) {
	t.Helper()
	o.FS = mem
	s.batches, s.aborted = make(map[string][]record.Batch), make(map[[2]int64]string)
	m, err := OpenManager(t.Context(), o)
	if err != nil {
		s.told = append(s.told, err)
		return s
	}
	defer m.abandon()
	for _, tp := range []TopicPartition{{"t", [16]byte{1}, 0}, {"u", [16]byte{2}, 3}} {
		l := m.Log(tp.Topic, tp.Partition)
		if l == nil {
			s.told = append(s.told, fmt.Errorf("%s is not there", tp.Topic))
			continue
		}
		// As the broker does at start.
		if err := l.AssignTopicID(tp.TopicID); err != nil {
			s.told = append(s.told, err)
			continue
		}
		s.add(&oneLog{t: t, Log: l, m: m})
	}
	if s.id = m.dirs[0].id; s.id != id && id != [16]byte{} {
		s.told = append(s.told, errors.New("the voters and the broker's registration know the dir by another id"))
	}
	return s
}

func (s *state) add(o *oneLog) {
	for from := o.StartOffset(); from < o.EndOffset(); {
		list, err := o.readAll(from, 700)
		s.batches[o.tp.Topic] = append(s.batches[o.tp.Topic], list...)
		if err == nil {
			break
		}
		s.told = append(s.told, err)
		for _, b := range list {
			from = b.LastOffset()
		}
		from++ // reads behind the damage go on
	}
	aborted, err := o.AbortedTxns(o.StartOffset(), o.EndOffset())
	s.note(aborted, err)
	for from := int64(4); o.tp.Topic == "t" && from < 60; from++ { // 4: whatever the start is
		for _, to := range []int64{from + 1, from + 5, from + 20} {
			if to > o.LastStableOffset(o.EndOffset()) {
				continue // nobody reads that far
			}
			list, err := o.AbortedTxns(from, to)
			s.note("", err)
			if err == nil {
				s.aborted[[2]int64{from, to}] = fmt.Sprint(list)
			}
		}
	}
	for ms := int64(startMs); ms < startMs+500; ms += 7 {
		found, ok, err := o.OffsetForTimestamp(ms)
		s.note(fmt.Sprint(found, ok), err)
	}
	largest, _, err := o.MaxTimestamp()
	s.note(largest, err)
	s.note(fmt.Sprint(o.StartOffset(), o.EndOffset(), o.epochs.entries, o.Producers()), nil)
}

func (s *state) note(v any, err error) {
	s.rest += fmt.Sprint(v) + "\n"
	if err != nil {
		s.told = append(s.told, err)
	}
}

// dirFiles lists what can be flipped.
func dirFiles(t testing.TB, mem *vfs.Mem) (files []string) {
	err := vfs.Walk(mem, "/data", func(name string, info fs.FileInfo) error {
		if !info.IsDir() && info.Size() > 0 {
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestBitFlips flips one bit somewhere, in each kind of file equally often, and
// then looks at the dir with Verify and by opening it:
//
//   - no batch is ever served that is not, bit for bit, one that was appended;
//   - no reader of committed records is told of other aborted transactions than
//     there are, unless it is told that something is wrong;
//   - either Verify names the damage, or opening or reading does, or it is
//     harmless: everything that the dir holds is as it was.
//
// A kill leaves less to go by than a clean stop: there Verify only finds what
// recovery would not put right, what lies above the recovery point may be cut as
// torn, and of its offset and leader epoch, which the CRC does not cover, there
// is no second witness. So there the first holds for what the CRC covers.
func TestBitFlips(t *testing.T) {
	const seed = 20
	flips := 1500
	if raceEnabled {
		flips = 100
	}
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprint("clean=", clean), func(t *testing.T) {
			mem, o := full(t, clean)
			want := readState(t, o, mem.CrashClone(vfs.CrashOptions{KeepProbability: 1}), [16]byte{})
			if len(want.told) > 0 {
				t.Fatal(want.told)
			}
			kinds := make(map[string][]string)
			for _, name := range dirFiles(t, mem) {
				kind := filepath.Ext(name)
				if strings.Contains(kind, "kafka") || kind == "" {
					kind = filepath.Base(name)
				}
				kinds[kind] = append(kinds[kind], name)
			}
			var names []string
			for kind := range kinds {
				names = append(names, kind)
			}
			slices.Sort(names)
			if len(names) < 9 {
				t.Fatal(names)
			}
			rng := rand.New(rand.NewPCG(seed, 0))
			found := make(map[string]int)
			for i := range flips {
				kind := kinds[names[i%len(names)]]
				name := kind[rng.IntN(len(kind))]
				pos, bit := rng.Int64N(must(mem.Stat(name))(t).Size()), rng.IntN(8)
				broken := mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})
				flipBit(t, broken, name, pos, bit)
				what := fmt.Sprintf("flip %d: bit %d of byte %d of %s", i, bit, pos, name)
				found[judge(t, o, broken, &want, clean, what)]++
			}
			t.Logf("%d flips in %v: %v", flips, names, found)
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return g[i] + "\nnot\n" + w[i]
		}
	}
	return fmt.Sprint(len(g), " lines, not ", len(w))
}

// judge looks at a dir with a flipped bit; it returns who told of the damage.
func judge(t *testing.T, o Options, mem *vfs.Mem, want *state, clean bool, what string) string {
	t.Helper()
	problems, err := Verify("/data", VerifyOptions{FS: mem, Codecs: o.Codecs})
	if err != nil {
		t.Fatal(what, err)
	}
	got := readState(t, o, mem, want.id)
	from := 0
	if !clean {
		from = 17 // where the CRC begins
	}
	for topic, list := range got.batches {
		for _, b := range list {
			if !slices.ContainsFunc(want.batches[topic], func(w record.Batch) bool { return bytes.Equal(w[from:], b[from:]) }) &&
				b.LastOffset() >= want.batches[topic][0].BaseOffset() { // a start that went back shows more
				t.Fatalf("%s: served %v", what, b)
			}
		}
	}
	for window, list := range got.aborted {
		if want, known := want.aborted[window]; clean && known && list != want {
			t.Fatalf("%s: of %v the aborted transactions are %v, want %v", what, window, list, want)
		}
	}
	switch {
	case len(problems) > 0:
		return "found by verify"
	case len(got.told) > 0:
		return "told at open or read"
	case !clean:
		return "put right by recovery"
	case got.rest != want.rest:
		t.Fatalf("%s: nobody tells, but it holds\n%s", what, firstDifference(got.rest, want.rest))
	}
	for topic, list := range want.batches {
		sameBatches(t, got.batches[topic], list)
	}
	return "harmless"
}
