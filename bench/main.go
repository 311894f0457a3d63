// Command bench compares Ottla with Apache Kafka 4.3.1 and with the floor of
// the machine, in one run: `make bench-kafka`.
//
// Every case starts both brokers on empty folders and warms them up. It then
// runs the same load on each in turn (A B A B) for several rounds, so that
// other activity on the machine affects both. The results are the ratios of
// each round. The load generator is `ottla bench`. Kafka's own tools are an
// independent check.
//
// Start reading at cases.go (the cases), then run.go (how they run), side.go
// (the brokers), floor.go (the minimum work of a broker), report.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"
)

// options are the flags.
type options struct {
	rounds   int
	duration time.Duration
	match    *regexp.Regexp
	format   string
	svg      string
	sides    string
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == floorCommand {
		os.Exit(floorMain(os.Args[2], len(os.Args) > 3 && os.Args[3] == floorFlush))
	}
	o, err := parseFlags(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := runAll(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (*options, error) {
	o := &options{}
	var match string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 3, "rounds of each case; figures are medians")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "duration of each load")
	f.StringVar(&match, "cases", "", "regular expression: only the cases whose name matches")
	f.StringVar(&o.format, "format", "text", "text (a table), markdown or json")
	f.StringVar(&o.svg, "svg", "", "folder for plots; empty: no plots")
	f.StringVar(&o.sides, "sides", "kafka,ottla,floor", "what is measured; without kafka there are no ratios")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	var err error
	o.match, err = regexp.Compile(match)
	if err == nil && (o.rounds < 1 || o.duration <= 0 || f.NArg() > 0) {
		err = errors.New("-rounds and -duration must be above 0, and no arguments are allowed")
	}
	return o, err
}

// runAll runs the selected cases and prints their results. Failed cases are
// listed at the end; the results of the others are still printed.
func runAll(ctx context.Context, o *options) error {
	var results []*result
	var failed error
	for _, c := range cases(o.duration) {
		if !o.match.MatchString(c.name) {
			continue
		}
		began := time.Now()
		fmt.Fprintf(os.Stderr, "%s: %s\n", c.name, c.about)
		r, err := runCase(ctx, c, o)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.name, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: done in %.0f s\n", c.name, time.Since(began).Seconds())
		results = append(results, r)
	}
	if o.svg != "" {
		if err := plotAll(o.svg, results); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return errors.Join(report(os.Stdout, o.format, results), failed)
}
