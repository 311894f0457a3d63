package cli

import (
	"io"

	"github.com/spf13/cobra"

	"ottla/internal/config"
)

// scopes are the scopes of keys under the names that users type.
var scopes = []struct {
	name  string
	scope config.Scope
}{{"broker", config.ScopeBroker}, {"topic", config.ScopeTopic}, {"group", config.ScopeGroup}}

// configKey is a key of the table as it is printed.
type configKey struct {
	Name    string  `json:"name"`
	Scope   string  `json:"scope"`
	Type    string  `json:"type"`
	Default *string `json:"default"` // null: none
	Kafka   string  `json:"kafka_default,omitempty"`
	Update  string  `json:"update_mode"`
	Used    bool    `json:"used"`
	Doc     string  `json:"doc"`
}

func newConfigKey(scope string, k config.Key) configKey {
	c := configKey{Name: k.Name, Scope: scope, Type: k.Type.String(), Kafka: k.KafkaDefault, Update: k.Dynamic.String(), Used: k.Used, Doc: k.Doc}
	if k.Scope != config.ScopeBroker {
		c.Update = "always"
	}
	if k.HasDefault && !k.Sensitive {
		c.Default = &k.Default
	}
	return c
}

func (c configKey) defaultText() string {
	if c.Default == nil {
		return "(none)"
	}
	return *c.Default
}

func (a *App) configList() *cobra.Command {
	var scope string
	var used bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List every key with its default",
		Args:    usageArgs(cobra.NoArgs),
		Example: example("ottla config list --scope topic --used"),
		RunE: func(*cobra.Command, []string) error {
			keys, err := listKeys(scope, used)
			if err != nil {
				return err
			}
			result := struct {
				Keys []configKey `json:"keys"`
			}{keys}
			return a.Print(result, func(w io.Writer) {
				table := newTable("NAME", "SCOPE", "TYPE", "USED", "DEFAULT")
				for _, k := range keys {
					mark := ""
					if k.Used {
						mark = "yes"
					}
					table.row(k.Name, k.Scope, k.Type, mark, k.defaultText())
				}
				table.write(w)
			})
		},
	}
	cmd.Flags().StringVar(&scope, "scope", "", "only keys of broker, topic or group")
	cmd.Flags().BoolVar(&used, "used", false, "only keys that Ottla acts on")
	return cmd
}

func listKeys(only string, used bool) ([]configKey, error) {
	keys := []configKey{}
	found := only == ""
	for _, s := range scopes {
		if only != "" && only != s.name {
			continue
		}
		found = true
		for _, k := range config.Keys(s.scope) {
			if k.Internal || used && !k.Used {
				continue
			}
			keys = append(keys, newConfigKey(s.name, k))
		}
	}
	if !found {
		return nil, usagef("--scope %s: must be broker, topic or group", only)
	}
	return keys, nil
}
