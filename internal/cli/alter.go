package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
)

// What topic config and config broker share: reading and altering the configs
// of resources.

// configFlags are the flags of both.
type configFlags struct {
	set    []string
	remove []string
	all    bool
	doc    bool
	dryRun bool
}

func (f *configFlags) add(cmd *cobra.Command, scope config.Scope) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.set, "set", nil, "set `name=value` (repeatable)")
	flags.StringArrayVar(&f.remove, "delete", nil, "reset `name` to its default (repeatable)")
	if scope == config.ScopeTopic {
		f.all = true
		flags.Var(negation{&f.all}, "overrides", "show only configs set on the topic itself")
		flags.Lookup("overrides").NoOptDefVal = "true"
		flags.BoolP("all", "a", true, "show every config") // as it was before; now the default
		if err := flags.MarkHidden("all"); err != nil {
			panic(err) // the flag is defined above
		}
	} else {
		flags.BoolVarP(&f.all, "all", "a", false, "show every config, not only those set here")
	}
	flags.BoolVar(&f.doc, "doc", false, "show the documentation of each config, as returned by the cluster")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only validate the change on the cluster")
	mustComplete(cmd, "set", completeKeys("=", scope))
	mustComplete(cmd, "delete", completeKeys("", scope))
}

// negation is a flag that turns a value off.
type negation struct{ value *bool }

func (n negation) String() string { return strconv.FormatBool(n.value != nil && !*n.value) }

func (n negation) Type() string { return "bool" }

func (n negation) Set(text string) error {
	on, err := strconv.ParseBool(text)
	*n.value = !on
	return err
}

func (f *configFlags) alters() bool { return len(f.set)+len(f.remove) > 0 }

// describedResource is a resource with its configs.
type describedResource struct {
	Name    string            `json:"name"`
	Configs []describedConfig `json:"configs"`
	Error   *problem          `json:"error,omitempty"`
}

type describedConfig struct {
	Name      string  `json:"name"`
	Value     *string `json:"value"` // null: none, or secret
	Source    string  `json:"source"`
	ReadOnly  bool    `json:"read_only"`
	Sensitive bool    `json:"sensitive"`
	Doc       string  `json:"doc,omitempty"`

	own bool // set for the resource itself
}

// alteredResource is what became of altering one resource.
type alteredResource struct {
	Name    string   `json:"name"`
	Altered bool     `json:"altered"`
	Error   *problem `json:"error,omitempty"`
}

// runConfigs shows or alters the configs of resources of one type. what names
// the type in messages.
func (a *App) runConfigs(ctx context.Context, client *kgo.Client, kind kmsg.ConfigResourceType, what string, names []string, f *configFlags) error {
	if f.alters() {
		return a.alterConfigs(ctx, client, kind, what, names, f)
	}
	return a.showConfigs(ctx, client, kind, what, names, f)
}

func (a *App) showConfigs(ctx context.Context, client *kgo.Client, kind kmsg.ConfigResourceType, what string, names []string, f *configFlags) error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeDocumentation = f.doc
	for _, name := range names {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kind, name
		req.Resources = append(req.Resources, r)
	}
	failures := &items{app: a, names: topicNames(ctx, client)}
	resources := []describedResource{}
	for _, shard := range client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return shard.Err
		}
		for _, r := range shard.Resp.(*kmsg.DescribeConfigsResponse).Resources {
			d := describeResource(r, f.all)
			failures.check(what+" "+r.ResourceName, d.Error)
			resources = append(resources, d)
		}
	}
	slices.SortFunc(resources, func(x, y describedResource) int { return strings.Compare(x.Name, y.Name) })
	result := struct {
		Resources []describedResource `json:"resources"`
	}{resources}
	err := a.Print(result, func(w io.Writer) {
		for _, r := range resources {
			if r.Error == nil {
				r.write(w, what, len(resources) > 1)
			}
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}

// sources are the names of where a config was set, as Kafka's tools print them.
var sources = map[kmsg.ConfigSource]string{
	1: "topic", 2: "broker", 3: "cluster", 4: "file", 5: "default", 6: "logger", 7: "client-metrics", 8: "group",
}

func describeResource(r kmsg.DescribeConfigsResponseResource, all bool) describedResource {
	d := describedResource{Name: r.ResourceName, Configs: []describedConfig{}}
	d.Error = newProblem(kerr.ErrorForCode(r.ErrorCode), deref(r.ErrorMessage))
	for _, c := range r.Configs {
		if !all && c.Source == kmsg.ConfigSourceDefaultConfig {
			continue
		}
		if !all && r.ResourceType == kmsg.ConfigResourceTypeTopic && c.Source != kmsg.ConfigSourceDynamicTopicConfig {
			continue
		}
		d.Configs = append(d.Configs, describedConfig{
			Name: c.Name, Value: c.Value, Source: sources[c.Source], ReadOnly: c.ReadOnly, Sensitive: c.IsSensitive,
			Doc: deref(c.Documentation), own: c.Source == kmsg.ConfigSourceDynamicTopicConfig,
		})
	}
	slices.SortFunc(d.Configs, func(x, y describedConfig) int {
		switch {
		case x.own && !y.own: // overrides first
			return -1
		case y.own && !x.own:
			return 1
		}
		return strings.Compare(x.Name, y.Name)
	})
	return d
}

func (r describedResource) write(w io.Writer, what string, heading bool) {
	if heading {
		fmt.Fprintf(w, "%s %s\n", what, r.Name)
	}
	table := newTable("NAME", "VALUE", "SOURCE")
	for _, c := range r.Configs {
		value := deref(c.Value)
		switch {
		case c.Sensitive:
			value = "(secret)"
		case c.Value == nil:
			value = "(null)"
		}
		table.row(c.Name, value, c.Source)
	}
	table.write(w)
	for _, c := range r.Configs {
		if c.Doc != "" {
			fmt.Fprintf(w, "\n%s\n  %s\n", c.Name, c.Doc)
		}
	}
}

// configLines prints configs as name=value, sorted.
func configLines(configs map[string]string) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		lines = append(lines, name+"="+configs[name])
	}
	return lines
}

// The operations of IncrementalAlterConfigs.
const (
	opSet    = 0
	opDelete = 1
)

func (f *configFlags) request(kind kmsg.ConfigResourceType, names []string) (*kmsg.IncrementalAlterConfigsRequest, error) {
	set, err := assignments("set", f.set)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = f.dryRun
	for _, name := range names {
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kind, name
		for _, key := range slices.Sorted(maps.Keys(set)) {
			c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			c.Name, c.Op, c.Value = key, opSet, kmsg.StringPtr(set[key])
			r.Configs = append(r.Configs, c)
		}
		for _, key := range f.remove {
			c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			c.Name, c.Op = key, opDelete
			r.Configs = append(r.Configs, c)
		}
		req.Resources = append(req.Resources, r)
	}
	return req, nil
}

func (a *App) alterConfigs(ctx context.Context, client *kgo.Client, kind kmsg.ConfigResourceType, what string, names []string, f *configFlags) error {
	req, err := f.request(kind, names)
	if err != nil {
		return err
	}
	failures := &items{app: a, names: topicNames(ctx, client)}
	altered := []alteredResource{}
	for _, shard := range client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return shard.Err
		}
		for _, r := range shard.Resp.(*kmsg.IncrementalAlterConfigsResponse).Resources {
			p := newProblem(kerr.ErrorForCode(r.ErrorCode), deref(r.ErrorMessage))
			failures.check(what+" "+r.ResourceName, p)
			altered = append(altered, alteredResource{r.ResourceName, p == nil && !f.dryRun, p})
		}
	}
	slices.SortFunc(altered, func(x, y alteredResource) int { return strings.Compare(x.Name, y.Name) })
	result := struct {
		Resources []alteredResource `json:"resources"`
		DryRun    bool              `json:"dry_run"`
	}{altered, f.dryRun}
	err = a.Print(result, func(w io.Writer) {
		for _, r := range altered {
			switch {
			case r.Altered:
				fmt.Fprintf(w, "altered %s %s\n", what, r.Name)
			case r.Error == nil:
				fmt.Fprintf(w, "would alter %s %s\n", what, r.Name)
			}
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}
