package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"

	"ottla/interop/target"
)

// judges are Kafka's own tools, run against both brokers as an independent
// check. They are Java clients, so that the broker is a smaller part of the
// result.
func judges() []*testCase {
	return []*testCase{
		{
			name: "java-producer", about: "ProducerPerformance: 500,000 records of 1,000 B, acks=all, page cache", setOttla: pageCache,
			own: producerPerformance, metrics: []metric{{name: "MB/s", higher: true}},
		},
		{
			name: "java-consumer", about: "ConsumerPerformance: the same records", setOttla: pageCache,
			own: consumerPerformance, metrics: []metric{{name: "MB/s", higher: true}},
		},
		{
			name: "java-e2e", about: "EndToEndLatency: 5,000 records of 100 B one by one, acks=all", setOttla: pageCache,
			own: endToEndLatency, metrics: []metric{{name: "mean ms"}},
		},
	}
}

// tool runs one of Kafka's classes and returns its output.
func (c *ownCase) tool(class string, args ...string) (string, error) {
	argv := append([]string{"-Xmx512m", "-cp", target.Jars(c.scope), "org.apache.kafka.tools." + class}, args...)
	out, err := exec.CommandContext(c.ctx, "java", argv...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", class, err, out)
	}
	return string(out), nil
}

// number returns the last number that the group of an expression matches.
func number(out, expression string) (float64, error) {
	all := regexp.MustCompile(expression).FindAllStringSubmatch(out, -1)
	if len(all) == 0 {
		return 0, fmt.Errorf("no match for %s in %q", expression, out)
	}
	return strconv.ParseFloat(all[len(all)-1][1], 64)
}

const judgedRecords = "500000"

func (c *ownCase) perfProduce(x *side) (float64, error) {
	out, err := c.tool("ProducerPerformance", "--topic", "judged", "--num-records", judgedRecords, "--record-size", "1000", "--throughput", "-1",
		"--bootstrap-server", x.addr, "--command-property", "acks=all")
	if err != nil {
		return 0, err
	}
	return number(out, `\(([0-9.]+) MB/sec\)`)
}

func producerPerformance(c *ownCase) ([]map[kind]float64, error) { return c.one(c.perfProduce) }

func consumerPerformance(c *ownCase) ([]map[kind]float64, error) {
	return c.one(func(x *side) (float64, error) {
		if _, err := c.perfProduce(x); err != nil {
			return 0, err
		}
		out, err := c.tool("ConsumerPerformance", "--topic", "judged", "--num-records", judgedRecords, "--bootstrap-server", x.addr, "--hide-header")
		if err != nil {
			return 0, err
		}
		// start, end, MB, MB/s, …
		return number(out, `(?m)^\d{4}-[^,]*, [^,]*, [0-9.]+, ([0-9.]+),`)
	})
}

func endToEndLatency(c *ownCase) ([]map[kind]float64, error) {
	return c.one(func(x *side) (float64, error) {
		if err := firstAck(c.ctx, x.addr, "judged"); err != nil {
			return 0, err
		}
		out, err := c.tool("EndToEndLatency", "--bootstrap-server", x.addr, "--topic", "judged", "--num-records", "5000", "--producer-acks", "all", "--record-size", "100")
		if err != nil {
			return 0, err
		}
		return number(out, `Avg latency: ([0-9.]+) ms`)
	})
}
