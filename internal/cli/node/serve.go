package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ottla/internal/broker"
	"ottla/internal/cli"
	"ottla/internal/config"
)

// serveFlags are the flags of serve.
type serveFlags struct {
	cli.NodeFlags
	data   string
	listen string
}

func serve(app *cli.App) *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a node: broker and controller",
		Long: `Run a node: broker and controller in one process. By default its data is in
./ottla-data. There is no format step: an empty folder becomes a new cluster, an
existing one is opened.

Sources of configuration, highest priority first: --set, then --listen and --data,
environment variables OTTLA_… and KAFKA_… (as in the apache/kafka image), the file
of -c, defaults. 'ottla config list' lists every key.

Ctrl-C, SIGTERM or SIGHUP stops the node cleanly; a second one ends it at once.
SIGQUIT writes the stacks of all goroutines to standard error; the node continues.`,
		Args: cobra.NoArgs,
		Example: "  ottla serve\n" +
			"  ottla serve --listen 0.0.0.0:9092 --data /var/lib/ottla\n" +
			"  ottla serve -c server.properties --set num.partitions=3",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.load(app.Streams)
			if err != nil {
				return err
			}
			return run(cmd.Context(), app, cfg)
		},
	}
	f.Add(cmd.Flags())
	cmd.Flags().StringVar(&f.data, "data", "", "`folder` of the data (default ./ottla-data)")
	cmd.Flags().StringVar(&f.listen, "listen", "", "`host:port` to listen on (default 127.0.0.1:9092)")
	return cmd
}

// load builds the node's configuration from all sources.
func (f *serveFlags) load(s cli.Streams) (*config.Broker, error) {
	sources, err := f.Sources(s)
	if err != nil {
		return nil, err
	}
	sources.Flags = map[string]string{}
	if f.data != "" {
		sources.Flags["log.dirs"] = f.data
	}
	if f.listen != "" {
		sources.Flags["listeners"] = listener(f.listen)
	}
	return config.Load(sources)
}

// listener converts host:port to a value of the key listeners. An address that
// already has a listener name is not changed. For all interfaces the host is
// left empty, as Kafka requires; clients then get the machine's name.
func listener(address string) string {
	if strings.Contains(address, "://") {
		return address
	}
	for _, all := range []string{"0.0.0.0:", "[::]:"} {
		if rest, ok := strings.CutPrefix(address, all); ok {
			address = ":" + rest
		}
	}
	return "PLAINTEXT://" + address
}

// run starts the node and prints the banner. It returns when the context is
// done or the node has ended.
func run(ctx context.Context, app *cli.App, cfg *config.Broker) error {
	defer takeSignals(app.Err)()
	level := new(slog.LevelVar)
	level.Set(cfg.LogLevel)
	env := broker.OS(slog.New(slog.NewTextHandler(app.Err, &slog.HandlerOptions{Level: level})))
	env.LogLevel, env.Version = level, cli.Version()
	boundMemory(cfg, os.DirFS("/"))
	if err := boundDescriptors(cfg, descriptorLimit()); err != nil {
		return err
	}
	node, err := broker.Start(ctx, cfg, env)
	if err != nil {
		if interrupted(ctx) {
			return nil
		}
		return err
	}
	b := newBanner(cfg, node.Addr(), node.ClusterID())
	if addr := node.MonitoringAddr(); addr != nil {
		b.Metrics = "http://" + addr.String() + "/metrics"
	}
	if err := app.Print(b, func(w io.Writer) { b.write(w, app.Program) }); err != nil {
		env.Log.Warn("nobody reads standard output", "error", err)
	}
	systemd := newSystemd(app.Env)
	if err := systemd.tell("READY=1"); err != nil {
		env.Log.Warn("systemd was not told that the node is ready", "error", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Wait() }()
	select {
	case err := <-ended:
		return errors.Join(err, node.Close())
	case <-ctx.Done():
		_ = systemd.tell("STOPPING=1") // this is only shown to the operator
		err := node.Close()
		if why := <-ended; err == nil {
			err = why
		}
		return err
	}
}

// interrupted reports whether the user has stopped the node.
func interrupted(ctx context.Context) bool { return ctx.Err() != nil }

// banner is the information that is printed when a node has started.
type banner struct {
	Version   string   `json:"version"`
	NodeID    int32    `json:"node_id"`
	Roles     []string `json:"roles"`
	ClusterID string   `json:"cluster_id"`
	Data      []string `json:"data"`
	Bootstrap string   `json:"bootstrap"`
	Durable   bool     `json:"durable"`
	Metrics   string   `json:"metrics,omitempty"` // URL of the metrics
}

func newBanner(cfg *config.Broker, address, clusterID string) banner {
	b := banner{
		Version: cli.Version(), NodeID: cfg.NodeID, Roles: []string{}, ClusterID: clusterID,
		Data: cfg.LogDirs, Bootstrap: address, Durable: cfg.Ottla.Durability == config.Fsync,
	}
	if cfg.BrokerRole {
		b.Roles = append(b.Roles, "broker")
	}
	if cfg.ControllerRole {
		b.Roles = append(b.Roles, "controller")
	}
	return b
}

func (b banner) write(w io.Writer, program string) {
	kept := "an acknowledged record (acks=all) is on disk"
	if !b.Durable {
		kept = "in the page cache first: a power loss may take acknowledged records"
	}
	var dirs []string
	for _, dir := range b.Data {
		if abs, err := filepath.Abs(dir); err == nil {
			dir = abs
		}
		dirs = append(dirs, dir)
	}
	fmt.Fprintf(w, "Ottla %s, serving the protocol of Apache Kafka %s\n", b.Version, cli.KafkaVersion)
	fmt.Fprintf(w, "  node       %d (%s) of cluster %s\n", b.NodeID, strings.Join(b.Roles, ", "), b.ClusterID)
	fmt.Fprintf(w, "  data       %s (%s)\n", strings.Join(dirs, ", "), kept)
	fmt.Fprintf(w, "  bootstrap  %s\n", b.Bootstrap)
	if b.Metrics != "" {
		fmt.Fprintf(w, "  metrics    %s\n", b.Metrics)
	}
	fmt.Fprintf(w, "Try, in another terminal:\n")
	fmt.Fprintf(w, "  echo hello | kcat -b %s -P -t greetings\n", b.Bootstrap)
	fmt.Fprintf(w, "  echo hello | %s produce greetings%s\n", program, b.flag())
	fmt.Fprintf(w, "  %s consume greetings%s\n", program, b.flag())
}

// flag is the flag with which client commands find the node; empty if they find
// it by default.
func (b banner) flag() string {
	switch b.Bootstrap {
	case "localhost:9092", "127.0.0.1:9092":
		return ""
	}
	return " -b " + b.Bootstrap
}
