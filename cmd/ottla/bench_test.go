package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkStart runs the real binary. It reports the time from the start of
// the process on an empty folder to the first acknowledged record (acks=all, on
// disk) in ms, the memory that the process then uses, and the size of the
// binary, both in MB (10⁶ bytes). Time and memory are medians. The goals are
// 150 ms, 40 MB and 40 MB.
func BenchmarkStart(b *testing.B) {
	binary := buildBinary(b)
	info, err := os.Stat(binary)
	if err != nil {
		b.Fatal(err)
	}
	var took, resident []float64
	for b.Loop() {
		b.StopTimer()
		addr, dir := freeAddr(b), b.TempDir()
		b.StartTimer()
		began := time.Now()
		node := exec.Command(binary, "serve", "--listen", addr, "--data", dir, "--set", "ottla.http.listener=none")
		if err := node.Start(); err != nil {
			b.Fatal(err)
		}
		firstAck(b, addr)
		took = append(took, time.Since(began).Seconds()*1000)
		b.StopTimer()
		resident = append(resident, residentMB(b, node.Process.Pid))
		if err := node.Process.Signal(os.Interrupt); err != nil {
			b.Fatal(err)
		}
		if err := node.Wait(); err != nil {
			b.Fatalf("the node ended with %v", err)
		}
		b.StartTimer()
	}
	b.ReportMetric(median(took), "ms/first-ack")
	b.ReportMetric(median(resident), "MB-resident")
	b.ReportMetric(float64(info.Size())/1e6, "MB-binary")
}

// BenchmarkRestart kills a node with 10,000 partitions, each with records, and
// starts it again. It reports the time from the start of the process to the
// first acknowledged record in seconds, and the memory that the process then
// uses in MB. The goals are 2 s and 250 MB.
func BenchmarkRestart(b *testing.B) {
	const topics, partitions = 10, 1000
	binary, dir := buildBinary(b), b.TempDir()
	addr := freeAddr(b)
	start := func() *exec.Cmd {
		node := exec.Command(binary, "serve", "--listen", addr, "--data", dir)
		if err := node.Start(); err != nil {
			b.Fatal(err)
		}
		return node
	}
	kill := func(node *exec.Cmd) {
		if err := node.Process.Kill(); err != nil {
			b.Fatal(err)
		}
		_ = node.Wait() // it was killed on purpose
	}
	node := start()
	fillPartitions(b, addr, topics, partitions)
	kill(node)
	var took, resident []float64
	for b.Loop() {
		began := time.Now()
		node := start()
		firstAck(b, addr)
		took = append(took, time.Since(began).Seconds())
		b.StopTimer()
		resident = append(resident, residentMB(b, node.Process.Pid))
		kill(node)
		b.StartTimer()
	}
	b.ReportMetric(median(took), "s/first-ack")
	b.ReportMetric(median(resident), "MB-resident")
}

// fillPartitions creates topics and writes a record to each of their
// partitions.
func fillPartitions(b *testing.B, addr string, topics, partitions int) {
	b.Helper()
	firstAck(b, addr)
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	var records []*kgo.Record
	for topic := range topics {
		name := fmt.Sprint("topic-", topic)
		if _, err := kadm.NewClient(client).CreateTopic(ctx, int32(partitions), 1, nil, name); err != nil {
			b.Fatal(err)
		}
		for partition := range partitions {
			records = append(records, &kgo.Record{Topic: name, Partition: int32(partition), Value: make([]byte, 1000)})
		}
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		b.Fatal(err)
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// buildBinary builds the command as `make build` does.
func buildBinary(b *testing.B) string {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "ottla")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// freeAddr finds a port without a listener.
func freeAddr(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// firstAck produces one record as soon as the node accepts connections.
func firstAck(b *testing.B, addr string) {
	b.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation(),
		kgo.RetryBackoffFn(func(int) time.Duration { return time.Millisecond }),
		kgo.RequestRetries(100_000), kgo.MetadataMinAge(10*time.Millisecond),
	)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "first", Value: []byte("record")}).FirstErr(); err != nil {
		b.Fatal(err)
	}
}

// residentMB is the resident memory of a process; 0 on systems without /proc.
func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return float64(kib) * 1024 / 1e6
		}
	}
	return 0
}
