package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxInputRecord bounds in bytes what produce reads as one record.
const maxInputRecord = 100 << 20

// recordReader gives the records to produce, one after the other, then io.EOF.
type recordReader interface{ next() (*kgo.Record, error) }

// inputOptions say how records stand in the input.
type inputOptions struct {
	delimiter, keyDelimiter string
	key                     []byte // for records without a key of their own; nil is null
	headers                 []kgo.RecordHeader
	emptyIsNull             bool
	envelopes               bool
	format                  string
}

// newRecordReader reads records from in: one a line (or what ends with the
// delimiter), one envelope a line, or as franz-go's reader reads a format.
func newRecordReader(in io.Reader, o inputOptions) (recordReader, error) {
	if o.format != "" {
		layout, err := inputLayout(o.format)
		if err != nil {
			return nil, err
		}
		r, err := kgo.NewRecordReader(in, layout)
		if err != nil {
			return nil, fmt.Errorf("format %q: %w", o.format, err)
		}
		return &formatReader{r, o}, nil
	}
	pieces := &pieceReader{in: bufio.NewReaderSize(in, 64<<10), delimiter: []byte(o.delimiter), limit: maxInputRecord}
	if o.envelopes {
		pieces.delimiter = []byte{'\n'}
		return &envelopeReader{pieces, o}, nil
	}
	return &lineReader{pieces, o}, nil
}

// finish gives a record what options say for all of them.
func (o *inputOptions) finish(r *kgo.Record) *kgo.Record {
	if o.emptyIsNull && len(r.Value) == 0 {
		r.Value = nil
	}
	if o.emptyIsNull && len(r.Key) == 0 {
		r.Key = nil
	}
	if r.Key == nil {
		r.Key = o.key
	}
	r.Headers = append(r.Headers, o.headers...)
	return r
}

// lineReader makes a record of each piece; with a key delimiter the key is
// what stands before its first place, and null where it is missing.
type lineReader struct {
	pieces *pieceReader
	o      inputOptions
}

func (l *lineReader) next() (*kgo.Record, error) {
	piece, err := l.pieces.next()
	if err != nil {
		return nil, err
	}
	r := &kgo.Record{Value: piece}
	if l.o.keyDelimiter != "" {
		if key, value, ok := bytes.Cut(piece, []byte(l.o.keyDelimiter)); ok {
			r.Key, r.Value = key, value
		}
	}
	return l.o.finish(r), nil
}

// envelopeReader makes a record of each line of JSON; empty lines are passed
// over.
type envelopeReader struct {
	pieces *pieceReader
	o      inputOptions
}

func (e *envelopeReader) next() (*kgo.Record, error) {
	for {
		piece, err := e.pieces.next()
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(piece)) == 0 {
			continue
		}
		r, err := parseEnvelope(piece)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", e.pieces.count, err)
		}
		return e.o.finish(r), nil
	}
}

type formatReader struct {
	r *kgo.RecordReader
	o inputOptions
}

func (f *formatReader) next() (*kgo.Record, error) {
	r, err := f.r.ReadRecord()
	if err != nil {
		return nil, err
	}
	return f.o.finish(r), nil
}

// inputLayout lets -f of produce use kcat's %s and %S for franz-go's %v and %V.
func inputLayout(layout string) (string, error) {
	var b bytes.Buffer
	for rest := layout; rest != ""; {
		item, verb, err := nextItem(rest)
		if err != nil {
			return "", fmt.Errorf("format %q: %w", layout, err)
		}
		rest = rest[len(item):]
		switch verb {
		case 's':
			item = "%v"
		case 'S':
			item = "%V"
		default:
			item = forFranz(item, verb)
		}
		b.WriteString(item)
	}
	return b.String(), nil
}

// pieceReader cuts the input at a delimiter. What stands behind the last one
// is a piece too, unless it is empty.
type pieceReader struct {
	in        *bufio.Reader
	delimiter []byte
	limit     int // bytes of a piece
	count     int // pieces given
}

// next returns a piece of its own memory.
func (p *pieceReader) next() ([]byte, error) {
	var piece []byte
	last := p.delimiter[len(p.delimiter)-1]
	for {
		part, err := p.in.ReadSlice(last)
		piece = append(piece, part...)
		switch {
		case len(piece) > p.limit:
			return nil, fmt.Errorf("record %d is longer than %d bytes", p.count+1, p.limit)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(piece) > 0:
			p.count++
			return piece, nil
		case err != nil:
			return nil, err
		case bytes.HasSuffix(piece, p.delimiter):
			p.count++
			return piece[:len(piece)-len(p.delimiter)], nil
		}
	}
}
