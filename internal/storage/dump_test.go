package storage

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// dumped is what Dump prints of a file, one line each.
func dumped(fsys vfs.FS, codecs *record.Codecs, name string) (lines []string, err error) {
	err = Dump(name, DumpOptions{FS: fsys, Codecs: codecs, Records: true, Data: true}, func(line DumpLine) error {
		lines = append(lines, fmt.Sprint(line.Kind, line.Fields))
		return nil
	})
	return lines, err
}

func secondBase(t testing.TB, mem *vfs.Mem, folder string) int64 {
	return must(listFolder(mem, folder))(t).bases[1]
}

// TestDumpReadsEverything: every file that storage writes has a form for
// people.
func TestDumpReadsEverything(t *testing.T) {
	mem, o := full(t, true)
	for _, name := range []string{flushedName, recentName} { // a clean stop has removed them
		if err := writeFile(mem, "/data/"+name, encodeOffsets([]offsetLine{{pointsKey, 7}})); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range dirFiles(t, mem) {
		lines, err := dumped(mem, o.Codecs, name)
		if err != nil || len(lines) == 0 && !strings.HasSuffix(name, snapshotSuffix) {
			t.Errorf("%s: %d lines, %v", name, len(lines), err)
		}
	}
	name := "/data/u-3/" + segmentName(secondBase(t, mem, "/data/u-3"), logSuffix)
	lines, err := dumped(mem, o.Codecs, name)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"{compresscodec zstd}", "{compresscodec gzip}", "{isvalid true}", "{header h [1]}"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

// TestDumpOfDamage: what can be read is printed, then the place is named.
func TestDumpOfDamage(t *testing.T) {
	mem, o := full(t, true)
	base := secondBase(t, mem, folderPath)
	part := func(suffix string) string { return "/data/t-0/" + segmentName(base, suffix) }
	broken := &oneLog{t: t, mem: mem}
	for _, c := range []struct {
		file   string
		change func([]byte) []byte
		more   bool // lines come before the damage
		pos    int64
	}{
		{part(logSuffix), func(b []byte) []byte { return b[:len(b)-3] }, true, -1},
		{part(logSuffix), func(b []byte) []byte { b[70] ^= 1; return b }, true, 0},
		{part(logSuffix), func(b []byte) []byte { b[16] = 0; return b }, false, 0},
		{part(offsetSuffix), func(b []byte) []byte { return b[:11] }, true, 8},
		{part(timeSuffix), func(b []byte) []byte { return b[:5] }, false, 0},
		{part(snapshotSuffix), func(b []byte) []byte { b[9] = 7; return b }, false, 0},
		{"/data/t-0/" + epochsName, func(b []byte) []byte { return append(b, "7 x y\n"...) }, false, 0},
		{"/data/" + metaName, func([]byte) []byte { return []byte("version=7\n") }, false, 0},
	} {
		data := must(vfs.ReadFile(mem, c.file))(t)
		broken.edit("../"+strings.TrimPrefix(c.file, "/data/"), func(b []byte) []byte { return c.change(b) })
		lines, err := dumped(mem, o.Codecs, c.file)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.File != c.file || c.pos >= 0 && corrupt.Pos != c.pos || (len(lines) > 0) != c.more {
			t.Errorf("%s: %d lines, %v", c.file, len(lines), err)
		}
		broken.edit("../"+strings.TrimPrefix(c.file, "/data/"), func([]byte) []byte { return data })
	}
	if _, err := dumped(mem, o.Codecs, "/data/unknown"); !errors.Is(err, ErrUnknownFile) {
		t.Error(err)
	}
	stop := errors.New("stop")
	err := Dump(part(logSuffix), DumpOptions{FS: mem, Codecs: o.Codecs, Records: true}, func(l DumpLine) error {
		if l.Kind == "record" {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
	fault := vfs.NewFault(mem, vfs.Rule{Op: vfs.OpRead, Err: syscall.EIO})
	for _, name := range dirFiles(t, mem) {
		if _, err := dumped(fault, o.Codecs, name); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDumpOfPadding: the zeros at the end of an index are one line, zeros between
// entries and the first entry are entries.
func TestDumpOfPadding(t *testing.T) {
	entry := []byte{0, 0, 0, 5, 0, 0, 1, 0}
	zeros := func(n int) []byte { return make([]byte, n*offsetEntryLen) }
	for _, c := range []struct {
		content []byte
		entries int
		padding int
	}{
		{nil, 0, 0},
		{entry, 1, 0},
		{zeros(1), 1, 0},
		{zeros(5000), 1, 4999},
		{bytes.Repeat(entry, 3), 3, 0},
		{append(bytes.Clone(entry), zeros(1)...), 1, 1},
		{append(bytes.Clone(entry), zeros(512)...), 1, 512},
		{append(bytes.Clone(entry), zeros(1500)...), 1, 1500},
		{append(append(zeros(1500), entry...), zeros(7)...), 1501, 7},
	} {
		fsys := vfs.NewMem()
		name := "/" + segmentName(0, offsetSuffix)
		if err := writeFile(fsys, name, c.content); err != nil {
			t.Fatal(err)
		}
		lines, err := dumped(fsys, nil, name)
		want := c.entries
		if c.padding > 0 {
			want++
			if last, told := lines[len(lines)-1], fmt.Sprintf("padding[{bytes %d}]", c.padding*offsetEntryLen); last != told {
				t.Errorf("the last line is %s, want %s", last, told)
			}
		}
		if err != nil || len(lines) != want {
			t.Errorf("%d lines, want %d entries and %d of padding: %v", len(lines), c.entries, c.padding, err)
		}
	}
}

// TestDecompressionBombs: a batch that would decompress to more than the cap is
// refused by a leader, by Verify and by Dump, and named.
func TestDecompressionBombs(t *testing.T) {
	codecs := record.NewCodecs()
	for _, codec := range []record.Compression{record.Zstd} { // the others: package record
		b := record.NewBuilder(record.BuilderOptions{Compression: codec, Codecs: codecs})
		b.Append(startMs, nil, make([]byte, record.MaxDecompressedBytes))
		bomb := must(b.Build())(t)
		o := newLogTest(t, func(o *Options) {
			o.Codecs, o.Default.MaxMessageBytes, o.Default.SegmentBytes = codecs, 64<<20, 1<<30
		})
		var invalid *record.InvalidError
		if _, err := o.AppendAsLeader(bytes.Clone(bomb), AppendOptions{}); !errors.As(err, &invalid) || !strings.Contains(err.Error(), record.ErrTooLarge.Error()) {
			t.Errorf("%s: %v", codec, err)
		}
		// Another replica's leader took it, as Kafka would.
		if err := o.AppendAsFollower(bomb); err != nil {
			t.Fatal(err)
		}
		if err := o.m.Close(-1); err != nil {
			t.Fatal(err)
		}
		problems, err := Verify("/data", VerifyOptions{FS: o.mem, Codecs: codecs})
		if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, record.ErrTooLarge.Error()) {
			t.Errorf("%s: %v, %v", codec, problems, err)
		}
		if _, err := dumped(o.mem, codecs, folderPath+"/"+segmentName(0, logSuffix)); !isCorrupt(err) || !strings.Contains(err.Error(), record.ErrTooLarge.Error()) {
			t.Errorf("%s: %v", codec, err)
		}
	}
}

// dumpNames are files of every kind that Dump knows.
var dumpNames = []string{
	"t-0/00000000000000000007.log", "t-0/00000000000000000007.index", "t-0/00000000000000000007.timeindex", "t-0/00000000000000000007.txnindex",
	"t-0/00000000000000000007.snapshot", "t-0/leader-epoch-checkpoint", "t-0/partition.metadata", startName, metaName, cleanName,
	"__cluster_metadata-0/00000000000000000007-0000000001.checkpoint",
}

// FuzzDump: whatever a file holds, Dump ends, with as many lines as bytes at
// most, and with an error that names the file or none.
func FuzzDump(f *testing.F) {
	mem, o := full(f, true)
	for which, name := range dumpNames {
		for _, file := range dirFiles(f, mem) {
			if file[len(file)-5:] == name[len(name)-5:] {
				f.Add(byte(which), must(vfs.ReadFile(mem, file))(f), true)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte, fix bool) {
		if fix {
			fixCRCs(data)
		}
		fsys := vfs.NewMem()
		name := "/" + dumpNames[int(which)%len(dumpNames)]
		if err := errors.Join(fsys.MkdirAll(filepath.Dir(name), 0o755), writeFile(fsys, name, data)); err != nil {
			t.Fatal(err)
		}
		lines, err := dumped(fsys, o.Codecs, name)
		if err != nil && !isCorrupt(err) {
			t.Fatal(err)
		}
		if len(lines) > len(data)+1 && len(data) < 100 {
			t.Fatalf("%d lines of %d bytes", len(lines), len(data))
		}
	})
}

// FuzzIndexes puts whatever bytes into the indexes of a segment that a clean
// stop left, where no recovery looks at them: each offset is answered by the
// batch that holds it, or by an error; never by another one.
func FuzzIndexes(f *testing.F) {
	mem, o := full(f, true)
	base := secondBase(f, mem, folderPath)
	f.Add(byte(0), []byte{0, 0, 0, 5, 0, 0, 0, 99, 0, 0, 0, 9, 0, 0, 1, 0})
	f.Add(byte(1), make([]byte, 24))
	f.Add(byte(2), make([]byte, 68))
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		fsys := mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})
		suffix := []string{offsetSuffix, timeSuffix, txnSuffix}[int(which)%3]
		broken := &oneLog{t: t, mem: fsys, o: o}
		broken.o.FS = fsys
		broken.edit(segmentName(base, suffix), func([]byte) []byte { return append([]byte{}, data...) })
		if err := broken.up(); err != nil {
			return
		}
		defer broken.m.abandon()
		list, err := broken.readAll(broken.StartOffset(), 300)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range list {
			if b.CheckCRC() != nil || i > 0 && b.BaseOffset() != list[i-1].NextOffset() {
				t.Fatalf("%v follows %v", b, list[max(0, i-1)])
			}
		}
		for ms := int64(0); ms < 48; ms += 5 {
			if found, _, err := broken.OffsetForTimestamp(startMs + ms); err != nil && !isCorrupt(err) || err == nil && found.Timestamp < startMs+ms {
				t.Fatal(found, err)
			}
		}
		_, _ = broken.AbortedTxns(broken.StartOffset(), broken.EndOffset())
	})
}
