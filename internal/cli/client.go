package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BootstrapEnv is the environment variable that names the cluster.
const BootstrapEnv = "OTTLA_BOOTSTRAP_SERVERS"

const defaultBootstrap = "localhost:9092"

// link is how a command reaches the cluster: what its flags say.
type link struct {
	app        *App
	servers    string
	properties []string
	file       string
	profile    string
	timeout    time.Duration
	verbose    bool
}

// linkFlags adds the flags of a command, or of all below a command, that talks
// to a cluster.
func (a *App) linkFlags(f *pflag.FlagSet) *link {
	l := &link{app: a}
	f.StringVarP(&l.servers, "bootstrap-server", "b", "", "`host:port`,… to begin with (default: $"+BootstrapEnv+", the current profile, "+defaultBootstrap+")")
	f.StringArrayVarP(&l.properties, "property", "X", nil, "client setting `name=value` with Kafka's or librdkafka's name (repeatable)")
	f.StringVarP(&l.file, "command-config", "F", "", "`file` of client settings; -X overrides it")
	f.StringVar(&l.profile, "profile", "", "use the settings of this profile (see ottla profile)")
	f.DurationVar(&l.timeout, "timeout", 10*time.Second, "time to wait for the cluster")
	f.BoolVarP(&l.verbose, "verbose", "v", false, "log the client's actions to standard error")
	return l
}

// settings merges -X over -F over the profile.
func (l *link) settings() (properties, error) {
	profile, chosen, err := l.profileSettings()
	if err != nil {
		return nil, err
	}
	p, err := l.given()
	if err != nil {
		return nil, err
	}
	for name, value := range profile {
		if _, set := p[name]; set || name == "bootstrap.servers" && !chosen && l.app.lookupEnv(BootstrapEnv) != "" {
			continue
		}
		if err := p.set(name + "=" + value); err != nil {
			return nil, usagef("profile: %w", err)
		}
	}
	return p, nil
}

// given merges -X over -F.
func (l *link) given() (properties, error) {
	p := properties{}
	if l.file != "" {
		content, err := l.app.ReadFile(l.file)
		if err != nil {
			return nil, usage(err)
		}
		if err := p.readFile(string(content)); err != nil {
			return nil, usagef("%s: %w", l.file, err)
		}
	}
	for _, x := range l.properties {
		if err := p.set(x); err != nil {
			return nil, usagef("-X: %w", err)
		}
	}
	return p, nil
}

// bootstrap picks the servers: flag, settings, environment, default.
func (l *link) bootstrap(p properties) ([]string, error) {
	servers := l.servers
	for _, other := range []string{p["bootstrap.servers"], l.app.lookupEnv(BootstrapEnv), defaultBootstrap} {
		if servers == "" {
			servers = other
		}
	}
	var list []string
	for _, s := range strings.Split(servers, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if !hasPort(s) {
			s += ":9092"
		}
		if _, port, err := net.SplitHostPort(s); err != nil || port == "" {
			return nil, usagef("%q is not host:port", s)
		}
		list = append(list, s)
	}
	if len(list) == 0 {
		return nil, usagef("no bootstrap server given")
	}
	return list, nil
}

// hasPort tells whether a server names its port; an IPv6 address has colons of
// its own and stands in brackets then.
func hasPort(server string) bool {
	return strings.LastIndexByte(server, ':') > strings.LastIndexByte(server, ']')
}

// connect makes the client of a command and checks that the cluster answers.
// The caller closes it.
func (l *link) connect(ctx context.Context, more ...kgo.Opt) (*kgo.Client, error) {
	p, err := l.settings()
	if err != nil {
		return nil, err
	}
	servers, err := l.bootstrap(p)
	if err != nil {
		return nil, err
	}
	opts, err := p.options()
	if err != nil {
		return nil, usagef("-X %w", err)
	}
	base := []kgo.Opt{
		kgo.SeedBrokers(servers...),
		kgo.ClientID("ottla"),
		kgo.SoftwareNameAndVersion("ottla", Version()),
		kgo.DisableClientMetrics(),
	}
	if l.verbose {
		base = append(base, kgo.WithLogger(kgo.BasicLogger(l.app.Err, kgo.LogLevelInfo, nil)))
	}
	client, err := kgo.NewClient(append(append(base, more...), opts...)...)
	if err != nil {
		return nil, usage(err)
	}
	if err := l.ping(ctx, client, servers); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

func (l *link) ping(ctx context.Context, client *kgo.Client, servers []string) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	err := client.Ping(ctx)
	if err == nil {
		return nil
	}
	reason := err.Error()
	var op *net.OpError
	switch {
	case errors.As(err, &op):
		reason = op.Err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		reason = fmt.Sprintf("no answer within %v", l.timeout)
	}
	return fmt.Errorf("no Kafka at %s: %s", strings.Join(servers, ","), reason)
}

// do connects, runs a short command within its timeout, and closes.
func (l *link) do(cmd *cobra.Command, run func(ctx context.Context, client *kgo.Client) error) error {
	return l.doWith(cmd, nil, run)
}

// doWith is do with a client that has options of its own.
func (l *link) doWith(cmd *cobra.Command, more []kgo.Opt, run func(ctx context.Context, client *kgo.Client) error) error {
	client, err := l.connect(cmd.Context(), more...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), l.timeout)
	defer cancel()
	err = run(ctx, client)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", l.timeout)
	}
	return err
}
