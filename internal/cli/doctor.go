package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// finding is one thing that doctor looked at.
type finding struct {
	OK      bool   `json:"ok"`
	Subject string `json:"subject"`
	What    string `json:"what"`
	// Advice is what to change; empty when all is well.
	Advice string `json:"advice,omitempty"`
}

func (a *App) doctor() *cobra.Command {
	var l *link
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out why this machine cannot connect to a cluster",
		Long: "Check the connection as a client on this machine makes it: whether each name resolves, whether the port\n" +
			"answers and speaks Kafka's protocol (not TLS or HTTP), which addresses the brokers advertise, and\n" +
			"whether they can be reached from here. Each problem is printed with its solution. The exit code is 1\n" +
			"if there is a problem.",
		Args: usageArgs(cobra.NoArgs),
		Example: example(`
ottla doctor
ottla doctor -b kafka.example.com:9092 --format json`),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDoctor(cmd.Context(), l) },
	}
	l = a.linkFlags(cmd.Flags())
	return cmd
}

func (a *App) runDoctor(ctx context.Context, l *link) error {
	p, err := l.settings()
	if err != nil {
		return err
	}
	servers, err := l.bootstrap(p)
	if err != nil {
		return err
	}
	d := &examination{timeout: min(l.timeout, 5*time.Second), seen: map[string]bool{}}
	reached := false
	for _, server := range servers {
		reached = d.address(ctx, "bootstrap server "+server, server, "name a broker by -b") || reached
	}
	if reached {
		d.cluster(ctx, l)
	}
	bad := 0
	for _, f := range d.findings {
		if !f.OK {
			bad++
		}
	}
	result := struct {
		Findings []finding `json:"findings"`
		Problems int       `json:"problems"`
	}{d.findings, bad}
	err = a.Print(result, func(w io.Writer) {
		for _, f := range d.findings {
			mark := "ok  "
			if !f.OK {
				mark = "BAD "
			}
			fmt.Fprintf(w, "%s%s: %s\n", mark, f.Subject, f.What)
			if f.Advice != "" {
				fmt.Fprintf(w, "      %s\n", f.Advice)
			}
		}
	})
	if err == nil && bad > 0 {
		return errItems
	}
	return err
}

// examination collects what is found.
type examination struct {
	timeout  time.Duration
	findings []finding
	seen     map[string]bool
}

func (d *examination) ok(subject, format string, args ...any) {
	d.findings = append(d.findings, finding{OK: true, Subject: subject, What: fmt.Sprintf(format, args...)})
}

func (d *examination) bad(subject, advice, format string, args ...any) {
	d.findings = append(d.findings, finding{Subject: subject, What: fmt.Sprintf(format, args...), Advice: advice})
}

// address looks at one address: name, port, protocol. whose is the advice for one
// that is wrong. It tells whether Kafka answers there.
func (d *examination) address(parent context.Context, subject, address, whose string) bool {
	d.seen[address] = true
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		d.bad(subject, whose, "%q is not host:port", address)
		return false
	}
	ctx, cancel := context.WithTimeout(parent, d.timeout)
	defer cancel()
	if net.ParseIP(host) == nil {
		if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
			d.bad(subject, "make "+host+" known to this machine (DNS, or its hosts file), or "+whose, "the name %s has no address here", host)
			return false
		}
	}
	began := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		d.bad(subject, "check that the node runs, that it listens there, and that no firewall is between; or "+whose, "%s", dialReason(err))
		return false
	}
	took := time.Since(began)
	versions, err := d.versions(conn)
	_ = conn.Close() // only read
	if err != nil {
		d.protocol(parent, subject, address, err)
		return false
	}
	d.ok(subject, "Kafka answers (%d APIs, connected in %v)", versions, took.Round(100*time.Microsecond))
	return true
}

func dialReason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return "no connection: " + op.Err.Error()
	}
	return "no connection: " + err.Error()
}

// versions sends ApiVersions 0, which every Kafka answers, and returns the number
// of APIs. An error of type notKafka holds what came instead.
func (d *examination) versions(conn net.Conn) (int, error) {
	if err := conn.SetDeadline(time.Now().Add(d.timeout)); err != nil {
		return 0, err
	}
	const correlation = 4711
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("ottla-doctor")).AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), correlation)); err != nil {
		return 0, err
	}
	head := make([]byte, 8)
	if n, err := io.ReadFull(conn, head); err != nil {
		return 0, &notKafka{head[:n], err}
	}
	size := binary.BigEndian.Uint32(head)
	if binary.BigEndian.Uint32(head[4:]) != correlation || size < 10 || size > 1<<20 {
		return 0, &notKafka{head, nil}
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(conn, body); err != nil {
		return 0, &notKafka{head, err}
	}
	b := kbin.Reader{Src: body}
	if code := b.Int16(); code != 0 {
		return 0, fmt.Errorf("ApiVersions is answered with error %d", code)
	}
	return int(b.ArrayLen()), b.Complete()
}

// notKafka is an answer, or the lack of one, that is not Kafka's.
type notKafka struct {
	got []byte
	err error
}

func (e *notKafka) Error() string {
	if e.err != nil {
		return "the connection is closed, or nothing comes: " + e.err.Error()
	}
	return fmt.Sprintf("the answer begins with %q, which is not Kafka's", e.got)
}

// protocol finds out what listens at an address that does not answer as Kafka.
func (d *examination) protocol(ctx context.Context, subject, address string, err error) {
	var other *notKafka
	if !errors.As(err, &other) {
		d.bad(subject, "look into the log of the node", "%s", err)
		return
	}
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // only whether it speaks TLS is asked
	if conn, err := dialer.DialContext(ctx, "tcp", address); err == nil {
		_ = conn.Close() // only asked
		d.bad(subject, "this client does not speak TLS yet: use a PLAINTEXT listener", "the port speaks TLS")
		return
	}
	if d.speaksHTTP(ctx, address) {
		d.bad(subject, "name Kafka's port, 9092 by default", "an HTTP server listens there")
		return
	}
	d.bad(subject, "name the port of a Kafka listener for clients; a controller's listener answers nobody else", "%s", other)
}

// speaksHTTP tells whether an HTTP server listens at an address.
func (d *examination) speaksHTTP(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close() //nolint:errcheck // only asked
	head := make([]byte, 5)
	if err := conn.SetDeadline(time.Now().Add(d.timeout)); err != nil {
		return false
	}
	_, err = io.WriteString(conn, "HEAD / HTTP/1.0\r\n\r\n")
	if err == nil {
		_, err = io.ReadFull(conn, head)
	}
	return err == nil && bytes.Equal(head, []byte("HTTP/"))
}

// cluster asks for the brokers, and looks at the address that each advertises.
func (d *examination) cluster(ctx context.Context, l *link) {
	client, err := l.connect(ctx)
	if err != nil {
		d.bad("cluster", "", "%s", err)
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	resp, err := metadataOf(ctx, client)
	if err != nil {
		d.bad("cluster", "look into the log of the node", "its metadata cannot be had: %s", err)
		return
	}
	id := ""
	if resp.ClusterID != nil {
		id = *resp.ClusterID
	}
	d.ok("cluster "+id, "%d brokers", len(resp.Brokers))
	for _, b := range resp.Brokers {
		d.broker(ctx, b)
	}
}

func metadataOf(ctx context.Context, client *kgo.Client) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	return req.RequestWith(ctx, client)
}

func (d *examination) broker(ctx context.Context, b kmsg.MetadataResponseBroker) {
	address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	subject := fmt.Sprintf("broker %d at its advertised address %s", b.NodeID, address)
	whose := "set advertised.listeners of broker " + strconv.Itoa(int(b.NodeID)) + " to an address that clients here can reach"
	if d.seen[address] {
		d.ok(subject, "is a bootstrap server")
		return
	}
	ip := net.ParseIP(b.Host)
	loopback := b.Host == "localhost" || ip != nil && ip.IsLoopback()
	if !d.address(ctx, subject, address, whose) || !loopback {
		return
	}
	for seen := range d.seen {
		host, _, err := net.SplitHostPort(seen)
		if ip := net.ParseIP(host); err == nil && !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
			d.bad(subject, whose, "it advertises this machine's own loopback address, but was reached at %s: another node may be meant", seen)
			return
		}
	}
}
