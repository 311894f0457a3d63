package cli

import (
	"bytes"
	"io"

	"github.com/spf13/cobra"

	"ottla/internal/config"
)

func (a *App) configDocs() *cobra.Command {
	return &cobra.Command{
		Use:     "docs",
		Short:   "Print docs/configuration.md: every key in Markdown",
		Args:    usageArgs(cobra.NoArgs),
		Example: example("ottla config docs > docs/configuration.md"),
		RunE: func(*cobra.Command, []string) error {
			var doc bytes.Buffer
			if err := config.WriteMarkdown(&doc); err != nil {
				return err
			}
			result := struct {
				Markdown string `json:"markdown"`
			}{doc.String()}
			var failed error
			err := a.Print(result, func(w io.Writer) { _, failed = doc.WriteTo(w) })
			if failed != nil {
				return failed
			}
			return err
		},
	}
}
