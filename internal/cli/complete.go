package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/internal/config"
)

type completion = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeTopics offers the topics of the cluster for the first most arguments,
// or for all of them when most is 0. A cluster that does not answer at once
// offers nothing.
func (a *App) completeTopics(l func() *link, most int) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		link := l()
		link.timeout = min(link.timeout, time.Second)
		client, err := link.connect(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(cmd.Context(), link.timeout)
		defer cancel()
		topics, err := kadm.NewClient(client).ListTopics(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return topics.Names(), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeGroups offers the groups of the cluster as completeTopics does topics.
func (a *App) completeGroups(l *link, most int) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		l.timeout = min(l.timeout, time.Second)
		var names []cobra.Completion
		err := l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
			groups, err := askGroupList(ctx, client, nil, nil)
			for _, g := range groups {
				names = append(names, g.Name)
			}
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeWords offers fixed words.
func completeWords(words ...string) completion {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeKeys offers the names of config keys, each followed by suffix.
func completeKeys(suffix string, scopes ...config.Scope) completion {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		for _, scope := range scopes {
			for _, k := range config.Keys(scope) {
				names = append(names, k.Name+suffix)
			}
		}
		directive := cobra.ShellCompDirectiveNoFileComp
		if suffix != "" {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return names, directive
	}
}
