package node

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"ottla/internal/cli"
	"ottla/internal/metadata"
	"ottla/internal/raft"
	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

type dumpFlags struct {
	deep, data bool
}

func storageDump(app *cli.App) *cobra.Command {
	f := &dumpFlags{}
	cmd := &cobra.Command{
		Use:   "dump FILE…",
		Short: "Print a segment, index, snapshot or checkpoint",
		Long: `Print files of a log dir or partition folder, Ottla's or Kafka's: .log, .index,
.timeindex, .txnindex, .snapshot, .checkpoint, the checkpoints, quorum-state,
partition.metadata and meta.properties. The field names are those of Kafka's
DumpLogSegments. Records of the metadata log are printed by type and field.

For a damaged file the command prints the readable part and then the position of the
damage; the exit code is 1. With --format json each line is one object.`,
		Args:    cli.UsageArgs(cobra.MinimumNArgs(1)),
		Example: "  ottla storage dump ./ottla-data/orders-0/00000000000000000000.log --print-data-log",
		RunE: func(_ *cobra.Command, args []string) error {
			return dump(app, vfs.OS{}, args, f)
		},
	}
	cmd.Flags().BoolVar(&f.deep, "deep-iteration", false, "also print the records of each batch")
	cmd.Flags().BoolVar(&f.data, "print-data-log", false, "print the records with their keys, values and headers")
	return cmd
}

func dump(app *cli.App, fsys vfs.FS, names []string, f *dumpFlags) error {
	failed := false
	o := storage.DumpOptions{FS: fsys, Codecs: record.NewCodecs(), Records: f.deep || f.data, Data: f.data, Decode: decodeRecord}
	for _, name := range names {
		emit := func(line storage.DumpLine) error {
			return app.PrintLine(jsonLine(name, line), func(w io.Writer) { writeLine(w, line) })
		}
		err := dumpFile(name, o, emit)
		if errors.Is(err, storage.ErrUnknownFile) {
			return cli.Usagef("%s", err)
		}
		if err != nil {
			failed = true
			app.Notef("ottla: %v", err)
		}
	}
	if failed {
		return cli.ErrItems
	}
	return nil
}

// dumpFile is storage.Dump, extended by quorum-state, which storage does not
// know.
func dumpFile(name string, o storage.DumpOptions, emit func(storage.DumpLine) error) error {
	if filepath.Base(name) != "quorum-state" {
		return storage.Dump(name, o, emit)
	}
	data, err := vfs.ReadFile(o.FS, name)
	if err != nil {
		return err
	}
	q, err := metadata.ParseQuorumState(data)
	if err != nil {
		return fmt.Errorf("%s is corrupt: %w", name, err)
	}
	return emit(storage.DumpLine{Kind: "quorum-state", Pos: -1, Fields: []storage.DumpField{
		{Name: "leaderId", Value: q.LeaderID}, {Name: "leaderEpoch", Value: q.LeaderEpoch},
		{Name: "votedId", Value: q.VotedID}, {Name: "votedDirectoryId", Value: metadata.FormatUUID(q.VotedDirectoryID)},
	}})
}

// decoders decode the records of internal topics. They return nil for unknown
// records.
var decoders = map[string]func(r *record.Record) []storage.DumpField{
	"__cluster_metadata": decodeMetadata,
}

func decodeRecord(topic string, control bool, r *record.Record) []storage.DumpField {
	if control {
		return decodeControl(r)
	}
	if decode := decoders[topic]; decode != nil {
		return decode(r)
	}
	return nil
}

func decodeMetadata(r *record.Record) []storage.DumpField {
	m, err := metadata.ParseValue(r.Value)
	if err != nil {
		return []storage.DumpField{{Name: "error", Value: err.Error()}, {Name: "payload", Value: r.Value}}
	}
	return []storage.DumpField{{Name: "payload", Value: decoded{m, metadata.Format(m)}}}
}

// decodeControl returns the name of a control record and its fields.
func decodeControl(r *record.Record) []storage.DumpField {
	kind, err := record.ParseControlKey(r.Key)
	if err != nil {
		return []storage.DumpField{{Name: "error", Value: err.Error()}}
	}
	if kind == record.ControlCommit || kind == record.ControlAbort {
		end, err := record.ParseEndTxnMarker(r)
		if err != nil {
			return []storage.DumpField{{Name: "endTxnMarker", Value: kind.String()}, {Name: "error", Value: err.Error()}}
		}
		return []storage.DumpField{{Name: "endTxnMarker", Value: kind.String()}, {Name: "coordinatorEpoch", Value: end.CoordinatorEpoch}}
	}
	m, err := raft.ParseControl(kind, r.Value)
	if m == nil || err != nil {
		return []storage.DumpField{{Name: "control", Value: kind.String()}, {Name: "payload", Value: r.Value}}
	}
	return []storage.DumpField{{Name: "control", Value: kind.String()}, {Name: "payload", Value: decoded{m, metadata.Text(m)}}}
}

// decoded is a decoded record.
type decoded struct {
	message any
	text    string
}

// jsonLine converts a line to an object: the file, the kind, the position, and
// the fields by name. Valid text is a string; other bytes are in hex.
func jsonLine(file string, line storage.DumpLine) map[string]any {
	object := map[string]any{"file": file, "kind": line.Kind}
	if line.Pos >= 0 {
		object["position"] = line.Pos
	}
	headers := map[string]any{}
	for _, f := range line.Fields {
		value := f.Value
		switch v := value.(type) {
		case []byte:
			value = text(v)
		case decoded:
			name, fields := metadata.Tree(v.message)
			value = map[string]any{"type": name, "data": fields}
		}
		if key, ok := strings.CutPrefix(f.Name, storage.HeaderField); ok {
			headers[key] = value
			continue
		}
		if f.Name == "position" && line.Kind == "entry" {
			object["entry"] = line.Pos
		}
		object[f.Name] = value
	}
	if len(headers) > 0 {
		object["headers"] = headers
	}
	return object
}

// text converts bytes to readable text.
func text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return fmt.Sprintf("0x%x", b)
}

// writeLine writes a line in the format of Kafka's tool, name: value.
func writeLine(w io.Writer, line storage.DumpLine) {
	switch line.Kind {
	case "record":
		fmt.Fprint(w, "|")
	case "entry":
	default:
		fmt.Fprint(w, line.Kind)
	}
	sep := " "
	if line.Kind == "entry" {
		sep = ""
	}
	for _, f := range line.Fields {
		value := f.Value
		switch v := value.(type) {
		case []byte:
			value = fmt.Sprintf("%q", text(v))
		case decoded:
			value = v.text
		case nil:
			value = "null"
		}
		fmt.Fprintf(w, "%s%s: %v", sep, f.Name, value)
		sep = " "
	}
	if line.Kind == "batch" {
		fmt.Fprintf(w, " position: %d", line.Pos)
	}
	fmt.Fprintln(w)
}
