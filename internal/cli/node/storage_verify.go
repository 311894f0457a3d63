package node

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"ottla/internal/cli"
	"ottla/internal/raft"
	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

type verifyFlags struct {
	skipRecords bool
	limit       int
}

func storageVerify(app *cli.App) *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify DIR…",
		Short: "Check every invariant of a stopped node's data",
		Long: `Check the log dirs of a stopped node, Ottla's or Kafka's, or the folders of single
partitions: batches and records, indexes, producer snapshots, leader epochs,
checkpoints, the metadata log with its snapshots. Nothing is changed. Each problem
is reported with the file, and with offset and byte position if it has them.

Exit code 0: no problem; 1: a problem, or the data could not be read.`,
		Args:    cli.UsageArgs(cobra.MinimumNArgs(1)),
		Example: "  ottla storage verify ./ottla-data\n  ottla storage verify ./ottla-data/orders-0 --format json",
		RunE: func(_ *cobra.Command, args []string) error {
			if f.limit < 1 {
				return cli.Usagef("--limit %d: must be at least 1", f.limit)
			}
			return verify(app, vfs.OS{}, args, f)
		},
	}
	cmd.Flags().BoolVar(&f.skipRecords, "skip-records", false, "check batches by header and CRC only, without decompressing them")
	cmd.Flags().IntVar(&f.limit, "limit", 1000, "stop the check of a DIR after this many `problems`")
	return cmd
}

// verified is the result for one folder.
type verified struct {
	Dir      string          `json:"dir"`
	Problems []problemOfFile `json:"problems"`
	Error    string          `json:"error,omitempty"`
}

// problemOfFile is a storage.Problem without unknown fields.
type problemOfFile struct {
	File      string `json:"file"`
	Segment   *int64 `json:"segment,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
	Position  *int64 `json:"position,omitempty"`
	Invariant string `json:"invariant,omitempty"`
	Message   string `json:"message"`
	text      string
}

func known(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func verify(app *cli.App, fsys vfs.FS, dirs []string, f *verifyFlags) error {
	codecs := record.NewCodecs()
	result := struct {
		Dirs []verified `json:"dirs"`
	}{}
	sound := true
	for _, dir := range dirs {
		v := verified{Dir: dir, Problems: []problemOfFile{}}
		problems, err := verifyDir(fsys, codecs, dir, f)
		for _, p := range problems {
			v.Problems = append(v.Problems, problemOfFile{p.File, known(p.Segment), known(p.Offset), known(p.Pos), p.Invariant, p.Message, p.String()})
		}
		if err != nil {
			v.Error = err.Error()
			app.Notef("ottla: %s: %v", dir, err)
		}
		sound = sound && err == nil && len(problems) == 0
		result.Dirs = append(result.Dirs, v)
	}
	err := app.Print(result, func(w io.Writer) {
		for _, v := range result.Dirs {
			for _, p := range v.Problems {
				fmt.Fprintln(w, p.text)
			}
			if v.Error == "" {
				fmt.Fprintf(w, "%s: %d problems\n", v.Dir, len(v.Problems))
			}
		}
	})
	if err == nil && !sound {
		err = cli.ErrItems
	}
	return err
}

func verifyDir(fsys vfs.FS, codecs *record.Codecs, dir string, f *verifyFlags) ([]storage.Problem, error) {
	unlock, err := lockDir(fsys, dir)
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("a node is running there: stop it first (%s is locked)", lockFile)
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	problems, err := storage.Verify(dir, storage.VerifyOptions{FS: fsys, Codecs: codecs, Headers: f.skipRecords, Limit: f.limit})
	if err != nil || len(problems) >= f.limit {
		return problems, err
	}
	if filepath.Base(dir) == raft.TopicPartition {
		dir = filepath.Dir(filepath.Clean(dir))
	}
	more, err := raft.Verify(fsys, dir, codecs)
	return append(problems, more...), err
}
