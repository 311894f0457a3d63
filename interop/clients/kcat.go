package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// kcat is run once for each list of records that one command line can describe.
// The headers, and whether there are keys, are part of the command line. Each
// value is a file.
type kcat struct {
	program, addr, dir string
}

func (*kcat) Can() Abilities {
	return Abilities{Codecs: allCodecs, Acks: allAcks, Consume: true, Idempotent: true, Headers: true, RepeatedHeaders: true}
}

func (*kcat) Close() error { return nil }

func (*kcat) Create(context.Context, string, int, map[string]string) error { return ErrNot }

func (k *kcat) run(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, k.program, append([]string{"-b", k.addr, "-q"}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("kcat %s: %w\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out, nil
}

func (k *kcat) Produce(ctx context.Context, p Produce) ([]int64, error) {
	for rest := p.Records; len(rest) > 0; {
		n := 1
		for n < len(rest) && sameShape(rest[0], rest[n]) {
			n++
		}
		if err := k.writeInOrder(ctx, p, rest[:n]); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return unknownOffsets(len(p.Records)), nil
}

// writeInOrder is write that also works without acks. Without acks kcat ends
// before the broker has the records, and the records of the next command could
// overtake them on another connection.
func (k *kcat) writeInOrder(ctx context.Context, p Produce, records []Record) error {
	if p.Acks != "0" {
		return k.write(ctx, p, records)
	}
	observer := NewFranz(k.addr)
	end, err := observer.End(ctx, p.Topic, p.Partition)
	if err != nil {
		return err
	}
	if err := k.write(ctx, p, records); err != nil {
		return err
	}
	return observer.AwaitEnd(ctx, p.Topic, p.Partition, end+int64(len(records)))
}

// sameShape reports whether two records fit on one command line.
func sameShape(a, b Record) bool {
	return (a.Key == nil) == (b.Key == nil) && (a.Value == nil) == (b.Value == nil) &&
		slices.EqualFunc(a.Headers, b.Headers, func(x, y Header) bool { return x.Key == y.Key && same(x.Value, y.Value) })
}

// Delimiters that no record of the matrix contains.
const (
	kcatKeyEnd    = "\x02\x1d\x02"
	kcatRecordEnd = "\x02\x1e\x02"
)

func (k *kcat) write(ctx context.Context, p Produce, records []Record) error {
	args := []string{
		"-P", "-t", p.Topic, "-p", strconv.Itoa(p.Partition), "-z", p.Codec, "-X", "acks=" + p.Acks,
		"-X", "message.max.bytes=2000000", "-X", "enable.idempotence=" + strconv.FormatBool(p.Idempotent),
		"-X", "linger.ms=5",
	}
	for _, h := range records[0].Headers {
		args = append(args, "-H", h.Key+"="+string(h.Value))
	}
	if records[0].Value == nil {
		args = append(args, "-Z") // kcat treats an empty value as null
	}
	if len(records) == 1 && records[0].Key == nil && len(records[0].Value) > 0 {
		file := filepath.Join(k.dir, "value")
		if err := os.WriteFile(file, records[0].Value, 0o600); err != nil {
			return err
		}
		_, err := k.run(ctx, nil, append(args, file)...)
		return err
	}
	args = append(args, "-D", kcatRecordEnd)
	if records[0].Key != nil {
		args = append(args, "-K", kcatKeyEnd)
	}
	var in bytes.Buffer
	for _, r := range records {
		if r.Key != nil {
			in.Write(r.Key)
			in.WriteString(kcatKeyEnd)
		}
		in.Write(r.Value)
		in.WriteString(kcatRecordEnd)
	}
	_, err := k.run(ctx, in.Bytes(), args...)
	return err
}

func (k *kcat) Consume(ctx context.Context, c Consume) ([]Record, error) {
	from := strconv.FormatInt(c.Offset, 10)
	if c.Timestamp != 0 {
		from = "s@" + strconv.FormatInt(c.Timestamp, 10)
	}
	out, err := k.run(ctx, nil, "-C", "-t", c.Topic, "-p", strconv.Itoa(c.Partition), "-o", from,
		"-c", strconv.Itoa(c.Count), "-f", `%o %T %K %S %h\n%k%s`)
	if err != nil {
		return nil, err
	}
	var records []Record
	for len(out) > 0 {
		var rec Record
		if rec, out, err = parseKcat(out); err != nil {
			return records, err
		}
		records = append(records, rec)
	}
	return records, nil
}

// parseKcat parses one record in the format that Consume requests: a line with
// the lengths, then key and value.
func parseKcat(out []byte) (Record, []byte, error) {
	line, rest, ok := bytes.Cut(out, []byte("\n"))
	fields := strings.SplitN(string(line), " ", 5)
	if !ok || len(fields) != 5 {
		return Record{}, nil, fmt.Errorf("kcat printed %q", line)
	}
	var numbers [4]int64
	for i := range numbers {
		var err error
		if numbers[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return Record{}, nil, err
		}
	}
	rec := Record{Offset: numbers[0], Timestamp: numbers[1]}
	var err1, err2 error
	rec.Key, rest, err1 = take(rest, numbers[2])
	rec.Value, rest, err2 = take(rest, numbers[3])
	for _, h := range strings.Split(fields[4], ",") {
		if name, value, ok := strings.Cut(h, "="); ok {
			rec.Headers = append(rec.Headers, Header{name, []byte(value)})
		}
	}
	return rec, rest, errors.Join(err1, err2)
}

// take removes n bytes from the front; -1 is null.
func take(b []byte, n int64) (head, rest []byte, err error) {
	if n < 0 {
		return nil, b, nil
	}
	if n > int64(len(b)) {
		return nil, nil, errors.New("kcat's output ends inside of a record")
	}
	return b[:n:n], b[n:], nil
}
