package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/internal/config"
)

// run calls the command line and returns all that comes out of it.
func run(t *testing.T, s Streams, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	if s.In == nil {
		s.In = strings.NewReader("")
	}
	s.Out, s.Err = &o, &e
	if s.ReadFile == nil {
		s.ReadFile = func(name string) ([]byte, error) { return nil, errors.New("no file " + name) }
	}
	code = New(s).Execute(t.Context(), args)
	return code, o.String(), e.String()
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func TestExitCodes(t *testing.T) {
	nobody := closedPort(t)
	cases := []struct {
		args string
		code int
		err  string // what standard error holds
	}{
		{"version", 0, ""},
		{"--help", 0, ""},
		{"topic --help", 0, ""},
		{"nonsense", 2, `unknown command "nonsense"`},
		{"topic", 2, "needs a command"},
		{"topic nonsense", 2, `unknown command "nonsense"`},
		{"topic create", 2, "requires at least 1 arg"},
		{"topic create x --nonsense", 2, "unknown flag: --nonsense"},
		{"topic create x -p many", 2, "invalid argument"},
		{"topic create x -c nonsense", 2, "not name=value"},
		{"topic create x -c a=1 -c a=2", 2, "given twice"},
		{"topic create x --replica-assignment 1:x", 2, "not a list of brokers"},
		{"topic create x --replica-assignment 1 -p 3", 2, "excludes"},
		{"topic config x --set nonsense", 2, "not name=value"},
		{"topic list x", 2, "unknown command"},
		{"topic list -X nonsense=1", 2, "property nonsense is not known"},
		{"topic list -X linger.ms=soon", 2, "not a number of milliseconds"},
		{"topic list -X security.protocol=SSL", 2, "not supported"},
		{"topic list -F missing", 2, "no file missing"},
		{"topic list -b host:port:1", 2, "not host:port"},
		{"topic list --format xml", 2, "must be text, json or yaml"},
		{"topic list -b " + nobody, 1, "no Kafka at " + nobody + ": "},
		{"produce", 2, "accepts 1 arg"},
		{"produce t -z rar", 2, "none of none, gzip"},
		{"produce t --acks 7", 2, "none of 0, 1, all"},
		{"produce t -J -f %s", 2, "exclude each other"},
		{"produce t -D \\x", 2, "two hex digits"},
		{"produce t -p -2", 2, "a partition is a number from 0"},
		{"produce t -b " + nobody, 1, "no Kafka at"},
		{"consume", 2, "requires at least 1 arg"},
		{"consume t -o nonsense", 2, `offset "nonsense"`},
		{"consume t -f %z", 2, "unknown escape"},
		{"consume t -J -f %s", 2, "exclude each other"},
		{"consume t --isolation-level none", 2, "neither"},
		{"consume t -b " + nobody, 1, "no Kafka at"},
		{"consume t -o stored", 2, "-g is missing"},
		{"consume t --group-protocol consumer", 2, "is for -g"},
		{"consume t -g g -p 1", 2, "exclude each other"},
		{"consume t -g g -o 5", 2, "beginning, end, stored or @TIME"},
		{"consume t -g g -o :5", 2, "cannot stop at an offset"},
		{"consume t -g g --group-protocol share", 2, "neither classic nor consumer"},
		{"consume t -g g -X group.protocol=share", 2, "neither classic nor consumer"},
		{"group", 2, "needs a command"},
		{"group describe", 2, "requires at least 1 arg"},
		{"group list -b " + nobody, 1, "no Kafka at"},
		{"group delete-offsets g", 2, "--topic is missing"},
		{"group delete-offsets g -t t:x", 2, "not a partition"},
		{"group reset-offsets g --to-latest", 2, "give --topic or --all-topics"},
		{"group reset-offsets g --to-latest -t t --all-topics", 2, "give --topic or --all-topics"},
		{"group reset-offsets g -t t", 2, "exactly one of"},
		{"group reset-offsets g -t t --to-latest --to-earliest", 2, "exactly one of"},
		{"group reset-offsets g -t t --to-offset x", 2, "not a number"},
		{"group reset-offsets g -t t --shift-by x", 2, "not a number"},
		{"group reset-offsets g -t t --to-datetime x", 2, "not a time"},
		{"group reset-offsets g -t t --by-duration P1Y", 2, "not a duration"},
		{"group reset-offsets g -t t -t t:1 --to-latest", 2, "given twice"},
		{"group reset-offsets g -t t --from-file x", 2, "excludes --topic"},
		{"group reset-offsets g --from-file x", 2, "no file x"},
		{"group reset-offsets g -t t --to-latest --execute --export", 2, "exclude each other"},
		{"config broker x", 2, "not a broker's id"},
		{"config list --scope nonsense", 2, "must be broker, topic or group"},
		{"config describe retention.ms no.such.key", 1, "no.such.key: no such key"},
		{"cluster info -b " + nobody, 1, "no Kafka at"},
	}
	for _, c := range cases {
		code, _, errs := run(t, Streams{}, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errs, c.err) {
			t.Errorf("%s: exit %d, %q; want %d and %q", c.args, code, errs, c.code, c.err)
		}
		if code == 0 && errs != "" {
			t.Errorf("%s: ok but %q on standard error", c.args, errs)
		}
	}
}

// TestJSONIsOneObject: whatever happens, --format json puts exactly one JSON
// object on standard output.
func TestJSONIsOneObject(t *testing.T) {
	nobody := closedPort(t)
	for _, args := range []string{
		"version", "topic list -b " + nobody, "topic create", "topic create x -b " + nobody, "nonsense", "topic describe x --nonsense",
		"group list -b " + nobody, "group reset-offsets g", "group lag g -b " + nobody,
		"consume t -b " + nobody, "produce t -b " + nobody, "config list", "config describe retention.ms no.such.key", "config describe no.such.key",
	} {
		code, out, _ := run(t, Streams{}, append([]string{"--format", "json"}, strings.Fields(args)...)...)
		var object map[string]any
		d := json.NewDecoder(strings.NewReader(out))
		if err := d.Decode(&object); err != nil || d.More() {
			t.Errorf("%s: %v in %q", args, err, out)
		}
		if _, failed := object["error"]; failed != (code != 0) && !strings.HasPrefix(args, "config") {
			t.Errorf("%s: exit %d and %q", args, code, out)
		}
	}
}

// TestErrorBehindTheResult: a command that has printed its object and then
// fails is told on standard error only; failed items are told once.
func TestErrorBehindTheResult(t *testing.T) {
	var out, errs bytes.Buffer
	for want, err := range map[string]error{"ottla: boom\n": errors.New("boom\nsecond line"), "": errItems} {
		out.Reset()
		errs.Reset()
		app := New(Streams{Out: &out, Err: &errs})
		app.Root.AddCommand(&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error {
			return errors.Join(app.Print(struct{}{}, nil), err)
		}})
		code := app.Execute(t.Context(), []string{"fail", "--format", "json"})
		if code != ExitFailed || out.String() != "{}\n" || errs.String() != want {
			t.Errorf("%v: exit %d, %q, %q", err, code, out.String(), errs.String())
		}
	}
}

// TestEveryCommandHelps: each has a short text and an example, and what it is
// called with there can be parsed.
func TestEveryCommandHelps(t *testing.T) {
	app := New(Streams{})
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || !strings.Contains(cmd.Example, "ottla") {
			t.Errorf("%s: short text %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
		if cmd.Runnable() && cmd.Args == nil {
			t.Errorf("%s takes any arguments", cmd.CommandPath())
		}
		for _, line := range strings.Split(cmd.Example, "\n") {
			checkExample(t, app, line)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(app.Root)
}

// checkExample parses each call of ottla in a line of an example.
func checkExample(t *testing.T, app *App, line string) {
	t.Helper()
	for _, call := range strings.Split(line, "|") {
		words := strings.Fields(strings.NewReplacer("'", "", ">", " > ").Replace(call))
		if len(words) == 0 || words[0] != "ottla" || slices.Contains(words, "serve") {
			continue
		}
		if i := slices.Index(words, ">"); i >= 0 {
			words = words[:i]
		}
		cmd, rest, err := app.Root.Find(words[1:])
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err == nil && cmd.Runnable() && !strings.Contains(call, "'%") {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err != nil {
			t.Errorf("example %q: %v", call, err)
		}
	}
}

func TestBootstrapPrecedence(t *testing.T) {
	env := []string{"A=b", BootstrapEnv + "=env1,env2:1"}
	cases := []struct {
		flag       string
		properties []string
		env        []string
		want       string
	}{
		{"", nil, nil, "localhost:9092"},
		{"", nil, env, "env1:9092 env2:1"},
		{"", []string{"bootstrap.servers=x:1"}, env, "x:1"},
		{"", []string{"metadata.broker.list=y:1"}, env, "y:1"},
		{"flag, other:2 ,", []string{"bootstrap.servers=x:1"}, env, "flag:9092 other:2"},
		{"[::1]", nil, nil, "[::1]:9092"},
		{"[::1]:7", nil, nil, "[::1]:7"},
	}
	for _, c := range cases {
		l := &link{app: New(Streams{Env: c.env}), servers: c.flag, properties: c.properties}
		p, err := l.settings()
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.bootstrap(p)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %q, %v; want %q", c, got, err, c.want)
		}
	}
}

func TestClientConfigFile(t *testing.T) {
	p := properties{}
	err := p.readFile("# comment\n! too\n\nbootstrap.servers = a:1\nkey.serializer=x.y.Z\ncompression.codec=lz4\nretries=3\n")
	if err != nil || fmt.Sprint(p) != "map[bootstrap.servers:a:1 compression.type:lz4]" {
		t.Errorf("%v, %v", p, err)
	}
	for _, bad := range []string{"sasl.mechanism=PLAIN", "ssl.truststore.location=/x", "a=1\nssl.key.password=x"} {
		if err := p.readFile(bad); err == nil {
			t.Errorf("%q was accepted: a client that asked for security would go without", bad)
		}
	}
	all := properties{}
	for _, x := range []string{
		"client.id=c", "client.rack=r", "security.protocol=plaintext", "isolation.level=read_committed", "linger.ms=5",
		"delivery.timeout.ms=60000", "request.timeout.ms=3000", "max.request.size=2000000", "fetch.max.wait.ms=10", "fetch.min.bytes=1",
		"fetch.max.bytes=1000000", "max.partition.fetch.bytes=1000", "metadata.max.age.ms=5000", "connections.max.idle.ms=1000", "max.in.flight=3", "topic.acks=1",
	} {
		if err := all.set(x); err != nil {
			t.Error(err)
		}
	}
	if opts, err := all.options(); err != nil || len(opts) != 14 {
		t.Errorf("%d options, %v", len(opts), err)
	}
}

func TestProblem(t *testing.T) {
	cases := []struct {
		err     error
		message string
		want    string
	}{
		{errors.New("boom"), "", "boom"},
		{kerr.TopicAlreadyExists, "Topic 'x' already exists.", "TOPIC_ALREADY_EXISTS: Topic 'x' already exists."},
		{fmt.Errorf("topic x: %w", kerr.InvalidConfig), "", "INVALID_CONFIG: Configuration is invalid."},
	}
	for _, c := range cases {
		if got := newProblem(c.err, c.message).String(); got != c.want {
			t.Errorf("%v, %q: %q, want %q", c.err, c.message, got, c.want)
		}
	}
	if newProblem(nil, "x") != nil {
		t.Error("no error became a problem")
	}
}

func TestTable(t *testing.T) {
	table := newTable("NAME", "#SIZE", "NOTE")
	table.row("größe", 5, "")
	table.row("x", 12345, "y")
	table.row("short")
	var b strings.Builder
	table.write(&b)
	want := "" +
		"NAME    SIZE  NOTE\n" +
		"größe      5  -\n" +
		"x      12345  y\n" +
		"short      -  -\n"
	if b.String() != want {
		t.Errorf("printed\n%swant\n%s", b.String(), want)
	}
}

func TestAcksAndCodecs(t *testing.T) {
	for _, c := range []struct {
		acks, idempotence string
		idempotent, ok    bool
	}{
		{"all", "", true, true}, {"-1", "", true, true}, {"all", "false", false, true}, {"1", "", false, true}, {"0", "true", false, true}, {"2", "", false, false},
	} {
		_, idempotent, err := parseAcks(c.acks, c.idempotence)
		if idempotent != c.idempotent || (err == nil) != c.ok {
			t.Errorf("acks %s, idempotence %q: %v, %v", c.acks, c.idempotence, idempotent, err)
		}
	}
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		if _, err := parseCodec(name); err != nil {
			t.Error(err)
		}
	}
}

func TestNodeSourcesLeaveTheClientsVariable(t *testing.T) {
	n := NodeFlags{Set: []string{"a=1"}}
	s, err := n.Sources(Streams{Env: []string{"X=1", BootstrapEnv + "=h:1", BootstrapEnv + "S=2"}})
	if err != nil || strings.Join(s.Env, " ") != "X=1 "+BootstrapEnv+"S=2" {
		t.Errorf("%q, %v", s.Env, err)
	}
	n.File = "server.properties"
	s, err = n.Sources(Streams{ReadFile: func(string) ([]byte, error) { return []byte("node.id=1"), nil }})
	if err != nil || s.File != "node.id=1" || s.FileName != "server.properties" {
		t.Errorf("%+v, %v", s, err)
	}
	if !isUsage(fmt.Errorf("loading: %w", &config.Error{})) {
		t.Error("a wrong configuration is not exit code 2")
	}
}
