package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// DumpLine is one element of a file: a batch, a record, an entry.
type DumpLine struct {
	// Kind is the kind of the element: batch, record, control, entry, producer,
	// property …
	Kind string
	// Pos is its position in the file, in bytes; -1 for a line of a text file, and
	// for a record of a batch.
	Pos    int64
	Fields []DumpField
}

// DumpField is one field, with its name in Kafka's documentation. The value is a number,
// a string, a bool, []byte, nil, or a result of Decode.
type DumpField struct {
	Name  string
	Value any
}

// HeaderField is the prefix of the names of fields that are record headers.
const HeaderField = "header "

// DumpOptions are the options of Dump.
type DumpOptions struct {
	FS     vfs.FS
	Codecs *record.Codecs
	// Records shows the records of each batch. Data also shows their keys, values
	// and headers.
	Records, Data bool
	// Decode, if not nil, returns fields that replace key and value of a record of a
	// topic; nil if it cannot decode them.
	Decode func(topic string, control bool, r *record.Record) []DumpField
}

// Dump reads any file of a log dir or partition folder, Ottla's or Kafka's, and passes
// its content to emit, line by line. The name of the file determines its kind, and the
// name of a segment's folder the topic. For a damaged file it emits the readable part,
// and then returns a *CorruptError with the position.
func Dump(name string, o DumpOptions, emit func(DumpLine) error) error {
	d := &dumper{DumpOptions: o, name: name, emit: emit, base: -1}
	base := filepath.Base(name)
	for _, suffix := range []string{deletedSuffix, cleanedSuffix, swapSuffix} {
		base = strings.TrimSuffix(base, suffix)
	}
	offset, suffix, ok := parseSegmentName(base)
	if ok {
		d.base = offset
	}
	switch {
	case strings.HasSuffix(base, ".checkpoint") || strings.HasSuffix(base, ".checkpoint.part"):
		return d.batches(metadataTopic)
	case ok && suffix == logSuffix:
		topic, _, _ := parsePartitionDir(filepath.Base(filepath.Dir(name)))
		return d.batches(topic)
	case ok && suffix == offsetSuffix:
		return d.entries(offsetEntryLen, true, d.offsetEntry)
	case ok && suffix == timeSuffix:
		return d.entries(timeEntryLen, true, d.timeEntry)
	case ok && suffix == txnSuffix:
		return d.entries(txnEntryLen, false, d.txnEntry)
	case ok && suffix == snapshotSuffix:
		return d.snapshot()
	}
	return d.small(base)
}

// ErrUnknownFile means that Dump does not support files with this name.
var ErrUnknownFile = errors.New("unknown kind of file")

type dumper struct {
	DumpOptions
	name string
	base int64 // base of the segment, -1: none
	emit func(DumpLine) error
}

func (d *dumper) corrupt(offset, pos int64, reason string) error {
	return &CorruptError{File: d.name, Segment: d.base, Offset: offset, Pos: pos, Reason: reason}
}

// open opens the file; size is its length.
func (d *dumper) open() (f vfs.File, size int64, err error) {
	if f, err = d.FS.OpenFile(d.name, os.O_RDONLY, 0); err != nil {
		return nil, 0, err
	}
	if size, err = f.Size(); err != nil {
		_ = f.Close() // it was only read
	}
	return f, size, err
}

func (d *dumper) batches(topic string) error {
	f, size, err := d.open()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	scan := newScanner(f, 0, size, make([]byte, scanBytes))
	next := max(d.base, 0)
	var damage error
	for scan.next() {
		bad := scan.checkCRC()
		if bad != nil && !isInvalid(bad) {
			return bad
		}
		b := scan.header
		if err := d.emit(batchLine(b, scan.pos, scan.size, bad == nil)); err != nil {
			return err
		}
		next = b.NextOffset()
		if bad == nil && d.Records {
			bad = d.records(topic, &scan)
		}
		var stopped *emitError
		if errors.As(bad, &stopped) {
			return stopped.err
		}
		if bad != nil && damage == nil {
			damage = d.corrupt(b.BaseOffset(), scan.pos, bad.Error())
		}
	}
	switch {
	case damage != nil:
		return damage
	case errors.Is(scan.err, errTorn) || errors.Is(scan.err, errBroken):
		return d.corrupt(next, scan.pos, scan.err.Error())
	}
	return scan.err
}

func batchLine(b record.Batch, pos, size int64, valid bool) DumpLine {
	fields := []DumpField{
		{"baseOffset", b.BaseOffset()}, {"lastOffset", b.LastOffset()}, {"count", b.Count()},
		{"baseSequence", b.BaseSequence()}, {"producerId", b.ProducerID()}, {"producerEpoch", b.ProducerEpoch()},
		{"partitionLeaderEpoch", b.LeaderEpoch()}, {"isTransactional", b.IsTransactional()}, {"isControl", b.IsControl()},
	}
	if horizon, ok := b.DeleteHorizon(); ok {
		fields = append(fields, DumpField{"deleteHorizonMs", horizon})
	} else {
		fields = append(fields, DumpField{"baseTimestamp", b.BaseTimestamp()})
	}
	return DumpLine{"batch", pos, append(fields,
		DumpField{b.TimestampType().String(), b.MaxTimestamp()}, DumpField{"size", size}, DumpField{"magic", b.Magic()},
		DumpField{"compresscodec", b.Compression().String()}, DumpField{"crc", b.CRC()}, DumpField{"isvalid", valid})}
}

// emitError is an error of emit, which does not mean damage.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }

func (d *dumper) records(topic string, scan *scanner) error {
	b, err := scan.whole()
	if err != nil {
		return err
	}
	for r, err := range b.Records(d.Codecs) {
		if err != nil {
			return err
		}
		fields := []DumpField{{"offset", r.Offset}, {b.TimestampType().String(), r.Timestamp}, {"keySize", sizeOf(r.Key)}, {"valueSize", sizeOf(r.Value)}}
		var decoded []DumpField
		if d.Decode != nil {
			decoded = d.Decode(topic, b.IsControl(), &r)
		}
		if decoded == nil && d.Data {
			decoded = []DumpField{{"key", bytesOrNil(r.Key)}, {"payload", bytesOrNil(r.Value)}}
		}
		fields = append(fields, decoded...)
		for _, h := range r.Headers {
			if d.Data {
				fields = append(fields, DumpField{HeaderField + string(h.Key), bytesOrNil(h.Value)})
			}
		}
		if err := d.emit(DumpLine{"record", -1, fields}); err != nil {
			return &emitError{err}
		}
	}
	return nil
}

// sizeOf returns the length, -1 for null, as Kafka prints it.
func sizeOf(b []byte) int {
	if b == nil {
		return -1
	}
	return len(b)
}

func bytesOrNil(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// entries reads an index. If it may be padded, the zeros at its end, which Kafka leaves
// after a kill (up to 10 MiB), become a single line.
func (d *dumper) entries(width int, padded bool, fields func(b []byte) []DumpField) error {
	f, size, err := d.open()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	whole := size - size%int64(width)
	end := whole
	if padded {
		if end, err = endOfEntries(f, int64(width), whole); err != nil {
			return err
		}
	}
	buf := make([]byte, pageEntries*width)
	for pos := int64(0); pos < end; pos += int64(len(buf)) {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), end-pos)], pos)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for at := 0; at+width <= n; at += width {
			if err := d.emit(DumpLine{"entry", pos + int64(at), fields(buf[at : at+width])}); err != nil {
				return err
			}
		}
	}
	if end < whole {
		if err := d.emit(DumpLine{"padding", end, []DumpField{{"bytes", whole - end}}}); err != nil {
			return err
		}
	}
	if whole < size {
		return d.corrupt(-1, whole, "the file ends inside an entry")
	}
	return nil
}

// endOfEntries returns the position where the zeros at the end of an index begin. The
// first entry never counts as zeros.
func endOfEntries(f io.ReaderAt, width, end int64) (int64, error) {
	buf := make([]byte, 512*width)
	for end > width {
		page := buf[:min(int64(len(buf)), end-width)]
		if n, err := f.ReadAt(page, end-int64(len(page))); n < len(page) {
			return 0, err
		}
		end -= int64(len(page))
		if used := int64(len(bytes.TrimRight(page, "\x00"))); used > 0 {
			return end + (used+width-1)/width*width, nil
		}
	}
	return end, nil
}

func (d *dumper) offsetEntry(b []byte) []DumpField {
	e := (&offsetIndex{base: d.base}).decode(b)
	return []DumpField{{"offset", e.offset}, {"position", e.pos}}
}

func (d *dumper) timeEntry(b []byte) []DumpField {
	e := (&timeIndex{base: d.base}).decode(b)
	return []DumpField{{"timestamp", e.timestamp}, {"offset", e.offset}}
}

func (d *dumper) txnEntry(b []byte) []DumpField {
	t := decodeTxn(b)
	return []DumpField{{"version", int16(uint16(b[0])<<8 | uint16(b[1]))}, {"producerId", t.producerID}, {"firstOffset", t.first}, {"lastOffset", t.last}, {"lastStableOffset", t.lastStable}}
}

// snapshot reads a producer snapshot.
func (d *dumper) snapshot() error {
	data, err := vfs.ReadFile(d.FS, d.name)
	if err != nil {
		return err
	}
	list, why := decodeSnapshot(data)
	if why != "" {
		return d.corrupt(-1, 0, why)
	}
	for i := range list {
		p := &list[i]
		last, _ := p.last()
		if p.kept == 0 {
			last.lastOffset = noOffset
		}
		err := d.emit(DumpLine{"producer", int64(snapshotHeaderLen + i*snapshotEntryLen), []DumpField{
			{"producerId", p.id}, {"producerEpoch", p.epoch}, {"lastSequence", p.lastSeq()}, {"lastOffset", last.lastOffset}, {"offsetDelta", last.offsetDelta},
			{"lastTimestamp", p.lastTimestamp}, {"coordinatorEpoch", p.coordinatorEpoch}, {"currentTxnFirstOffset", p.txnFirst},
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// number converts the text of a number; other text is returned unchanged.
func number(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	return text
}

// small reads one of the text files.
func (d *dumper) small(base string) error {
	var lines []DumpLine
	add := func(kind string, fields ...DumpField) { lines = append(lines, DumpLine{kind, -1, fields}) }
	var parse func(data []byte) error
	switch {
	case base == metaName:
		parse = func(data []byte) error {
			p, err := decodeMeta(data)
			add("meta.properties", DumpField{"cluster.id", p.ClusterID}, DumpField{"node.id", p.NodeID}, DumpField{"directory.id", formatID(p.DirectoryID)})
			return err
		}
	case base == partitionName:
		parse = func(data []byte) error {
			id, err := decodePartitionMetadata(data)
			add("partition.metadata", DumpField{"topic_id", formatID(id)})
			return err
		}
	case base == cleanName:
		parse = func(data []byte) error { add("clean shutdown", DumpField{"content", string(data)}); return nil }
	case base == epochsName:
		parse = func(data []byte) error {
			return decodeCheckpoint(data, 2, func(f []string) error {
				add("epoch", DumpField{"leaderEpoch", number(f[0])}, DumpField{"startOffset", number(f[1])})
				return nil
			})
		}
	case strings.HasSuffix(base, "-checkpoint"), base == flushedName, base == recentName:
		parse = func(data []byte) error {
			return decodeCheckpoint(data, 3, func(f []string) error {
				add("offset", DumpField{"topic", f[0]}, DumpField{"partition", number(f[1])}, DumpField{"offset", number(f[2])})
				return nil
			})
		}
	default:
		return fmt.Errorf("%w: %s", ErrUnknownFile, d.name)
	}
	data, err := vfs.ReadFile(d.FS, d.name)
	if err != nil {
		return err
	}
	damage := parse(data)
	if damage != nil && (base == metaName || base == partitionName) {
		lines = nil
	}
	for _, line := range lines {
		if err := d.emit(line); err != nil {
			return err
		}
	}
	if damage != nil {
		return d.corrupt(-1, 0, damage.Error())
	}
	return nil
}
