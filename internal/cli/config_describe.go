package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ottla/internal/config"
)

func (a *App) configDescribe() *cobra.Command {
	return &cobra.Command{
		Use:               "describe KEY…",
		Short:             "Explain keys: meaning, type, default, range",
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeKeys("", config.ScopeBroker, config.ScopeTopic, config.ScopeGroup),
		Example:           example("ottla config describe retention.ms ottla.durability"),
		RunE:              func(_ *cobra.Command, args []string) error { return a.describeKeys(args) },
	}
}

func (a *App) describeKeys(names []string) error {
	failures := &items{app: a}
	keys := []configKey{}
	for _, name := range names {
		found := false
		for _, s := range scopes {
			if k, ok := config.Lookup(s.scope, name); ok {
				keys = append(keys, newConfigKey(s.name, k))
				found = true
			}
		}
		if !found {
			failures.check(name, &problem{Message: "no such key"})
		}
	}
	result := struct {
		Keys []configKey `json:"keys"`
	}{keys}
	err := a.Print(result, func(w io.Writer) {
		for i, k := range keys {
			if i > 0 {
				fmt.Fprintln(w)
			}
			k.write(w)
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}

func (c configKey) write(w io.Writer) {
	fmt.Fprintf(w, "%s (%s)\n", c.Name, c.Scope)
	fmt.Fprintf(w, "  %s\n", c.Doc)
	fmt.Fprintf(w, "  type     %s\n", c.Type)
	fmt.Fprintf(w, "  default  %s\n", c.defaultText())
	if c.Kafka != "" {
		fmt.Fprintf(w, "           (Apache Kafka: %s)\n", c.Kafka)
	}
	fmt.Fprintf(w, "  update   %s\n", c.Update)
	if !c.Used {
		fmt.Fprintf(w, "  Ottla accepts this key and does not act on it.\n")
	}
}
