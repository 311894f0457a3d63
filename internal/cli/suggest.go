package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// suggest adds what was probably meant to the error of a mistyped command or
// flag.
func suggest(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	near := ""
	switch text := err.Error(); {
	case strings.HasPrefix(text, "unknown command "):
		typed, _, _ := strings.Cut(strings.TrimPrefix(text, `unknown command "`), `"`)
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				names = append(append(names, c.Name()), c.Aliases...)
			}
		}
		near = nearest(typed, names)
	case errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1:
		var names []string
		collect := func(f *pflag.Flag) { names = append(names, f.Name) }
		cmd.Flags().VisitAll(collect)
		cmd.InheritedFlags().VisitAll(collect)
		if near = nearest(unknown.GetSpecifiedName(), names); near != "" {
			near = "--" + near
		}
	}
	if near == "" {
		return err
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return usagef("%s; did you mean %s?", first, near)
}

// suggestion is what to add to the problem of an item, such as "topic ordres",
// that does not exist.
func (i *items) suggestion(item string, p *problem) string {
	if i.names == nil || p.Code != kerr.UnknownTopicOrPartition.Message && p.Code != kerr.GroupIDNotFound.Message {
		return ""
	}
	_, name, _ := strings.Cut(item, " ")
	if near := nearest(name, i.names()); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return ""
}

// topicNames lists the topics of the cluster; none if it does not answer.
func topicNames(ctx context.Context, client *kgo.Client) func() []string {
	return func() []string {
		return allTopics(ctx, kadm.NewClient(client))
	}
}

func allTopics(ctx context.Context, admin *kadm.Client) []string {
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return nil
	}
	return topics.Names()
}

// groupNames lists the groups of the cluster; none if it does not answer.
func groupNames(ctx context.Context, admin *kadm.Client) func() []string {
	return func() []string {
		groups, err := admin.ListGroups(ctx)
		if err != nil {
			return nil
		}
		return groups.Groups()
	}
}

// nearest is the word that is like typed: it begins with it, or a third of its
// letters at most differ. Empty when none is.
func nearest(typed string, words []string) string {
	length := len([]rune(typed))
	if length < 2 {
		return ""
	}
	best, least := "", max(1, length/3)+1
	for _, word := range slices.Sorted(slices.Values(words)) {
		n := distance(strings.ToLower(typed), strings.ToLower(word))
		if n > 0 && strings.HasPrefix(word, typed) {
			n = 1
		}
		if n < least {
			best, least = word, n
		}
	}
	return best
}

// distance is how many letters must be added, removed, exchanged or swapped with
// their neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
