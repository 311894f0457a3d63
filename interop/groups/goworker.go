package groups

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ottla/interop/clients"
)

// workerEnv is the name of the Go client that the test binary runs as a worker.
const workerEnv = "OTTLA_GROUP_WORKER"

var goWorkers = map[string]func(ctx context.Context, addr string, m Member, out *printer) error{
	"franz-go": franzWorker, "sarama": saramaWorker, "kafka-go": kafkaGoWorker,
}

// Work runs the worker named in the environment. It returns false if none is
// named. TestMain calls it first.
func Work() bool {
	run := goWorkers[os.Getenv(workerEnv)]
	if run == nil {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test closes it or ends
		cancel()
	}()
	var m Member
	err := json.Unmarshal([]byte(os.Args[len(os.Args)-1]), &m)
	if err == nil {
		err = run(ctx, os.Args[len(os.Args)-2], m, &printer{w: bufio.NewWriter(os.Stdout)})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// goCommand is the command for this test binary as a worker.
func goCommand(name string) clients.Command {
	return clients.Command{Argv: []string{os.Args[0]}, Env: []string{workerEnv + "=" + name}}
}

// printer prints the lines of a worker.
type printer struct {
	mu sync.Mutex
	w  *bufio.Writer
}

// line prints one line immediately. Write errors are ignored: they mean that
// the test has ended, which also closes the input.
func (p *printer) line(kind string, gen int32, rest ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "%d %s %d %s\n", time.Now().UnixMicro(), kind, gen, strings.Join(rest, " "))
	_ = p.w.Flush()
}

// record and committed print lines about one partition.
func (p *printer) record(gen int32, topic string, number int32, offset int64, value []byte) {
	p.line("record", gen, place(topic, number), strconv.FormatInt(offset, 10), string(value))
}

func (p *printer) committed(gen int32, topic string, number int32, offset int64) {
	p.line("committed", gen, place(topic, number), strconv.FormatInt(offset, 10))
}

func place(topic string, number int32) string { return fmt.Sprintf("%s/%d", topic, number) }

// places lists partitions in order.
func places(partitions map[string][]int32) []string {
	var all []string
	for topic, numbers := range partitions {
		for _, n := range numbers {
			all = append(all, place(topic, n))
		}
	}
	slices.Sort(all)
	return all
}
