package cli

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// topic is the parent of the commands about topics.
func (a *App) topic() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topic",
		Short: "List, create, describe, configure, extend, trim and delete topics",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  needCommand,
		Example: example(`
ottla topic create orders -p 6
ottla topic describe orders`),
	}
	l := a.linkFlags(cmd.PersistentFlags())
	cmd.AddCommand(a.topicList(l), a.topicCreate(l), a.topicDescribe(l), a.topicDelete(l), a.topicConfig(l), a.topicAddPartitions(l), a.topicTrim(l))
	return cmd
}

// needCommand is what a command does that only has commands below it.
func needCommand(cmd *cobra.Command, _ []string) error {
	return usagef("%s needs a command", cmd.CommandPath())
}

// formatID is a topic or directory id as Kafka's tools print it.
func formatID(id [16]byte) string {
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// assignments reads "name=value" arguments of a flag.
func assignments(flag string, list []string) (map[string]string, error) {
	m := map[string]string{}
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, usagef("--%s %q is not name=value", flag, text)
		}
		if _, twice := m[name]; twice {
			return nil, usagef("--%s %s is given twice", flag, name)
		}
		m[name] = value
	}
	return m, nil
}

// parseReplicas reads "1:2,2:3": the brokers of partition 0, then of partition
// 1, as kafka-topics takes them.
func parseReplicas(text string) ([][]int32, error) {
	var all [][]int32
	for _, part := range strings.Split(text, ",") {
		var brokers []int32
		for _, b := range strings.Split(part, ":") {
			n, err := strconv.ParseInt(strings.TrimSpace(b), 10, 32)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%q is not a list of brokers such as 1:2,2:3", text)
			}
			brokers = append(brokers, int32(n))
		}
		all = append(all, brokers)
	}
	return all, nil
}

// joinIDs prints node ids with commas.
func joinIDs(ids []int32) string {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = strconv.Itoa(int(id))
	}
	return strings.Join(text, ",")
}

// list makes JSON print [] for what is empty.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
