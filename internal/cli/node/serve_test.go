package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ottla/internal/cli"
)

// call runs one command and returns its result.
func call(t *testing.T, s cli.Streams, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	if s.In == nil {
		s.In = strings.NewReader("")
	}
	s.Out, s.Err, s.ReadFile = &o, &e, os.ReadFile
	code = New(s).Execute(t.Context(), args)
	return code, o.String(), e.String()
}

// TestWrongConfigStartsNothing: a configuration error prints one line that
// names the error, gives exit code 2 and creates no folder.
func TestWrongConfigStartsNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("num.partitions=many\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		args []string
		env  []string
		want string
	}{
		{[]string{"--set", "num.partitions=x"}, nil, "num.partitions"},
		{[]string{"--set", "num.partitions"}, nil, "num.partitions"},
		{[]string{"--set", "num.partitions=1", "--set", "num.partitions=2"}, nil, "num.partitions"},
		{[]string{"-c", file}, nil, "num.partitions"},
		{[]string{"-c", file + ".missing"}, nil, "server.properties.missing"},
		{[]string{"--listen", "nonsense"}, nil, "nonsense"},
		{[]string{"--listen", "SASL_SSL://127.0.0.1:0"}, nil, "SASL_SSL"},
		{nil, []string{"KAFKA_NUM_PARTITIONS=x"}, "num.partitions"},
		{nil, []string{"OTTLA_DURABILITY=maybe"}, "ottla.durability"},
	}
	for _, c := range cases {
		data := filepath.Join(t.TempDir(), "data")
		args := append([]string{"serve", "--data", data, "--set", "ottla.http.listener=none"}, c.args...)
		code, out, errs := call(t, cli.Streams{Env: c.env}, args...)
		first, rest, _ := strings.Cut(errs, "\n")
		if code != cli.ExitUsage || out != "" || !strings.HasPrefix(first, "ottla: ") || !strings.Contains(first, c.want) {
			t.Errorf("%q %q: exit %d, %q, %q; want 2 and a line with %s", args, c.env, code, out, errs, c.want)
		}
		if rest != "" && !strings.HasPrefix(rest, "See ") {
			t.Errorf("%q: more than one line: %q", args, errs)
		}
		if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: a folder was made", args)
		}
	}
}

func TestBanner(t *testing.T) {
	b := banner{
		Version: "1.2.3", NodeID: 1, Roles: []string{"broker", "controller"}, ClusterID: "5L6g3nShT-eMCtK--X86sw",
		Data: []string{"/data"}, Bootstrap: "127.0.0.1:9092", Durable: true,
	}
	var out strings.Builder
	b.write(&out, "ottla")
	want := `Ottla 1.2.3, serving the protocol of Apache Kafka 4.3.1
  node       1 (broker, controller) of cluster 5L6g3nShT-eMCtK--X86sw
  data       /data (an acknowledged record (acks=all) is on disk)
  bootstrap  127.0.0.1:9092
Try, in another terminal:
  echo hello | kcat -b 127.0.0.1:9092 -P -t greetings
  echo hello | ottla produce greetings
  ottla consume greetings
`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", out.String(), want)
	}
	b.Bootstrap, b.Durable = "h:1", false
	out.Reset()
	b.write(&out, "go run ./cmd/ottla")
	for _, want := range []string{"power loss", "\n  go run ./cmd/ottla consume greetings -b h:1\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestProgram(t *testing.T) {
	for arg0, want := range map[string]string{
		"ottla": "ottla", "./ottla": "./ottla", "/usr/bin/ottla": "/usr/bin/ottla",
		"/tmp/go-build123/b001/exe/ottla": "go run ./cmd/ottla",
	} {
		if got := program(arg0); got != want {
			t.Errorf("program(%s) = %s", arg0, got)
		}
	}
}

// served is a node started by serve.
type served struct {
	banner
	stop func() (code int, errs string)
}

// startServe runs serve and returns after the banner.
func startServe(t *testing.T, args ...string) served {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		s := cli.Streams{In: strings.NewReader(""), Out: w, Err: &errs, ReadFile: os.ReadFile}
		code := New(s).Execute(ctx, append([]string{"serve", "--format", "json", "--listen", "127.0.0.1:0", "--set", "ottla.http.listener=none"}, args...))
		_ = w.Close() // never fails
		done <- code
	}()
	n := served{}
	n.stop = func() (int, string) {
		cancel()
		code := <-done
		done <- code // if stop is called twice, the second call needs the code again
		return code, errs.String()
	}
	t.Cleanup(func() { n.stop() })
	if err := json.NewDecoder(r).Decode(&n.banner); err != nil {
		_, log := n.stop()
		t.Fatalf("no banner: %v\n%s", err, log)
	}
	return n
}

// TestServe runs a node, works with it with the client commands, stops it,
// restarts it and finds all data again.
func TestServe(t *testing.T) {
	data := t.TempDir()
	node := startServe(t, "--data", data)
	env := []string{cli.BootstrapEnv + "=" + node.Bootstrap}
	story := []struct {
		args string
		in   string
		code int
		out  string // expected substrings of standard output
	}{
		{"topic create orders -p 2", "", 0, "created orders: partitions 2"},
		{"topic create orders", "", 1, ""},
		{"topic create orders --if-not-exists", "", 0, "orders exists"},
		{"topic list", "", 0, "orders"},
		{"produce orders -K: -H h=1 -Z -p 0", "k1:v1\n:v2\nk3:\n", 0, ""},
		{"consume orders -e -p 0 -Z -f %o-%k-%s-%h;", "", 0, "0-k1-v1-h=1;1-NULL-v2-h=1;2-k3-NULL-h=1;"},
		{"consume orders -e -p 0 -o 1:2", "", 0, "v2\n"},
		{"consume orders -e -p 0 -o -1 -K:", "", 0, "k3:\n"},
		{"consume orders -e -o @now", "", 0, ""},
		{"consume orders -n 1 -p 0", "", 0, "v1\n"},
		{"produce orders -z zstd --acks 1 -p 1", "a\nb\n", 0, ""},
		{"produce orders --acks 0 -p 1", "c\n", 0, ""},
		{"topic describe orders", "", 0, "orders"},
		{"topic config orders --set retention.ms=1234567", "", 0, "altered topic orders"},
		{"topic config orders", "", 0, "cleanup.policy "},
		{"topic config orders --overrides", "", 0, "retention.ms  1234567  topic"},
		{"topic config orders --set retention.ms=x", "", 1, ""},
		{"cluster info", "", 0, node.ClusterID},
		{"config broker", "", 0, "NAME"},
		{"topic config orders -a", "", 0, "max.message.bytes"},
		{"topic delete nothing", "", 1, ""},
		{"topic delete nothing --if-exists", "", 0, "nothing does not exist"},
		{"topic delete orders --dry-run", "", 0, "would delete orders"},
		{"topic create dry --dry-run -r 1", "", 0, "would create dry: partitions 1"},
		{"topic create by-hand --replica-assignment 1,1 -c segment.bytes=2000000", "", 0, "partitions 2, replication factor 1"},
		{"topic create bad -r 9", "", 1, ""},
		{"topic describe nothing --format json", "", 1, "UNKNOWN_TOPIC_OR_PARTITION"},
		{"topic describe by-hand --format json", "", 0, `"segment.bytes": "2000000"`},
		{"topic list --format json", "", 0, `"name": "by-hand"`},
		{"topic delete by-hand", "", 0, "deleted by-hand"},
		{"config broker 1 --all", "", 0, "log.dirs"},
		{"config broker --set log.retention.ms=1000 --dry-run", "", 0, "would alter"},
		{"config broker --set log.retention.ms=1000", "", 0, "altered"},
		{"config broker --delete log.retention.ms", "", 0, "altered"},
		{"config broker --set node.id=7", "", 1, ""},
		{"cluster info --format json", "", 0, `"voters": [`},
		{`produce orders -f %k,%s\n -p 1 -q --format json -X linger.ms=0`, "k,v\n", 0, `"produced": 1`},
		{`produce orders -p 7`, "x\n", 1, ""},
		{"consume -r or.*s -e -p 1 -K, --isolation-level read_committed", "", 0, ",a\n,b\n,c\nk,v\n"},
		{"consume -r nothing.*", "", 1, ""},
		{"consume nothing -e", "", 1, ""},
		{"consume orders -e -p 9", "", 1, ""},
		{"consume orders -e --format json -p 1 -o -1", "", 0, `"key":"k","payload":"v"}`},
		{"__complete topic describe ord", "", 0, "orders\n"},
	}
	for _, s := range story {
		code, out, errs := call(t, cli.Streams{In: strings.NewReader(s.in), Env: env}, strings.Fields(s.args)...)
		if code != s.code || !strings.Contains(out, s.out) {
			t.Errorf("%s: exit %d, %q, %q; want %d and %q", s.args, code, out, errs, s.code, s.out)
		}
	}
	if code, log := node.stop(); code != cli.ExitOK {
		t.Fatalf("serve ended with exit code %d\n%s", code, log)
	}

	again := startServe(t, "--data", data)
	if again.ClusterID != node.ClusterID {
		t.Errorf("cluster %s became %s", node.ClusterID, again.ClusterID)
	}
	_, out, errs := call(t, cli.Streams{}, "consume", "orders", "-e", "-p", "1", "-b", again.Bootstrap)
	if out != "a\nb\nc\nv\n" {
		t.Errorf("after a restart: %q, %q", out, errs)
	}
	if code, log := again.stop(); code != cli.ExitOK {
		t.Errorf("serve ended with exit code %d\n%s", code, log)
	}
}

// TestEnvelopesKeepEverything copies a topic with consume -J and produce -J.
func TestEnvelopesKeepEverything(t *testing.T) {
	node := startServe(t, "--data", t.TempDir())
	env := []string{cli.BootstrapEnv + "=" + node.Bootstrap}
	lines := `{"key":"k","payload":"v","headers":["a","1","b",null]}` + "\n" +
		`{"key":null,"payload":null}` + "\n" + `{"key":"","payload":""}` + "\n" +
		"{\"payload\":\"\xff\x80\\u0000ä\"}\n"
	if code, _, errs := call(t, cli.Streams{In: strings.NewReader(lines), Env: env}, "produce", "from", "-J", "-p", "0"); code != 0 {
		t.Fatal(errs)
	}
	_, first, errs := call(t, cli.Streams{Env: env}, "consume", "from", "-J", "-e")
	if strings.Count(first, "\n") != 4 {
		t.Fatalf("%q, %q", first, errs)
	}
	if code, _, errs := call(t, cli.Streams{In: strings.NewReader(first), Env: env}, "produce", "to", "-J", "-p", "0"); code != 0 {
		t.Fatal(errs)
	}
	format := "%k{hex} %K %s{hex} %S %h\n"
	_, a, _ := call(t, cli.Streams{Env: env}, "consume", "from", "-e", "-f", format)
	_, b, _ := call(t, cli.Streams{Env: env}, "consume", "to", "-e", "-f", format)
	if a != b || strings.Count(a, "\n") != 4 {
		t.Errorf("the copy differs:\n%s\n%s", a, b)
	}
}

// TestSecondNodeIsRefused: two nodes cannot use the same folder.
func TestSecondNodeIsRefused(t *testing.T) {
	data := t.TempDir()
	startServe(t, "--data", data)
	ctx, cancel := context.WithCancel(t.Context())
	var errs bytes.Buffer
	s := cli.Streams{Out: started(cancel), Err: &errs, ReadFile: os.ReadFile}
	code := New(s).Execute(ctx, []string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--set", "ottla.http.listener=none"})
	if ctx.Err() != nil || code != cli.ExitFailed || !strings.Contains(errs.String(), "lock") {
		t.Errorf("exit %d, started %v, %q", code, ctx.Err() != nil, errs.String())
	}
}

// started is called when a node prints its banner.
type started func()

func (s started) Write(p []byte) (int, error) { s(); return len(p), nil }
