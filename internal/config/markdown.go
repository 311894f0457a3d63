package config

import (
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// preface is the beginning of docs/configuration.md.
const preface = `# Configuration

This page is generated from the table in ` + "`internal/config`" + `; ` + "`ottla config docs`" + ` prints it.

Sources of a node's configuration, highest priority first:

1. ` + "`--set name=value`" + `
2. flags such as ` + "`--listen` and `--data`" + `
3. environment variables: ` + "`OTTLA_FLUSH_METHOD` is `ottla.flush.method`" + `
4. environment variables by the rules of the apache/kafka image: ` + "`KAFKA_LOG_DIRS` is `log.dirs`" + `; ` + "`_`" + ` stands for a dot,
   ` + "`__` for `_`, `___` for `-`" + `. ` + "`CLUSTER_ID` is `ottla.cluster.id`, `KAFKA_LOG4J_ROOT_LOGLEVEL` is `ottla.log.level`" + `
5. the file given with ` + "`-c`" + `, in Java's properties format, as UTF-8; a name that occurs twice is an error
6. the default

A source of higher priority also hides synonyms of a key: ` + "`log.retention.hours`" + ` in the environment overrides
` + "`log.retention.ms`" + ` in the file. Unknown names cause a warning. Keys marked *not used yet* are accepted and have no
effect; ` + "`ottla config unused`" + ` lists those that are set. A node does not start if a key requests protection that is not
supported yet (TLS, SASL, an authorizer).

"Alterable" says whether a running node accepts a new value by ` + "`kafka-configs --alter`" + `: per broker, or cluster-wide
(for one broker or for all); "no" requires a restart.
`

// WriteMarkdown writes docs/configuration.md from the table: one section per
// subject, one entry per key, without internal keys.
func WriteMarkdown(w io.Writer) error {
	var out strings.Builder
	out.WriteString(preface)
	for _, s := range sections {
		heading := s.title
		switch s.scope {
		case ScopeTopic:
			heading = "Topic configs"
		case ScopeGroup:
			heading = "Group configs"
		}
		out.WriteString("\n## " + heading + "\n")
		for _, row := range s.keys {
			if !row.Internal {
				k, _ := Lookup(s.scope, row.Name)
				out.WriteString("\n### `" + k.Name + "`\n\n" + k.Doc + "\n\n" + facts(&k) + "\n")
			}
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// facts is one line about a key: type, default, range, alterable, used.
func facts(k *Key) string {
	parts := []string{strings.ToLower(k.Type.String()), "default " + printedDefault(k)}
	if k.KafkaDefault == "REQUIRED" {
		parts = append(parts, "Kafka requires a value")
	} else if k.KafkaDefault != "" {
		parts = append(parts, "Kafka's default `"+k.KafkaDefault+"`")
	}
	if k.Valid != nil && k.Valid.String() != "" {
		parts = append(parts, "range `"+k.Valid.String()+"`")
	}
	if len(k.BrokerSynonyms) > 0 {
		names := make([]string, len(k.BrokerSynonyms))
		for i, s := range k.BrokerSynonyms {
			names[i] = "`" + s.Name + "`"
		}
		parts = append(parts, "from the broker's "+strings.Join(names, ", "))
	}
	if k.Scope == ScopeBroker {
		parts = append(parts, "alterable: "+map[Dynamic]string{ReadOnly: "no", PerBroker: "per broker", ClusterWide: "cluster-wide"}[k.Dynamic])
	}
	if k.Sensitive {
		parts = append(parts, "never shown")
	}
	if !k.Used {
		parts = append(parts, "*not used yet*")
	}
	return strings.Join(parts, " · ")
}

// printedDefault is a default. Large periods and sizes are also shown in words.
func printedDefault(k *Key) string {
	if !k.HasDefault {
		return "none"
	}
	if k.Default == "" {
		return "empty"
	}
	printed := "`" + k.Default + "`"
	n, err := strconv.ParseInt(k.Default, 10, 64)
	if err != nil || n < 1024 {
		return printed
	}
	switch {
	case n == math.MaxInt64 || n == math.MaxInt32 && k.Type == Int:
		return printed + " (no limit)"
	case strings.HasSuffix(k.Name, ".ms"):
		return printed + " (" + period(n) + ")"
	case strings.Contains(k.Name, "bytes") || strings.Contains(k.Name, "buffer.size"):
		return printed + size(n)
	}
	return printed
}

// period prints a number of milliseconds in its largest whole unit.
func period(ms int64) string {
	for _, u := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if per := u.length.Milliseconds(); ms%per == 0 {
			if n := ms / per; n != 1 {
				return strconv.FormatInt(n, 10) + " " + u.name + "s"
			}
			return "1 " + u.name
		}
	}
	return strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64) + " seconds"
}

// size prints a round number of bytes in its largest unit.
func size(n int64) string {
	for _, u := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n%u.bytes == 0 {
			return " (" + strconv.FormatInt(n/u.bytes, 10) + " " + u.name + ")"
		}
	}
	return ""
}
