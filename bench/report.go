package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// row is one figure of one case.
type row struct {
	Case   string             `json:"case"`
	About  string             `json:"about"`
	Load   string             `json:"load"`
	Metric string             `json:"metric"`
	Median map[kind]float64   `json:"median"`
	Rounds map[kind][]float64 `json:"rounds"`
	// Ratio says how many times better Ottla is. It is Kafka's figure divided
	// by Ottla's if lower is better, otherwise Ottla's divided by Kafka's.
	// Ratio is the median of the rounds; RatioLow and RatioHigh are the
	// extremes.
	Ratio, RatioLow, RatioHigh float64
	Goal                       string `json:"goal,omitempty"`
	Met                        *bool  `json:"met,omitempty"`
}

func rows(results []*result) (list []row) {
	for _, r := range results {
		for i, m := range r.testCase.metrics {
			x := row{
				Case: r.testCase.name, About: r.testCase.about, Load: r.testCase.describe(), Metric: m.name,
				Median: map[kind]float64{}, Rounds: r.values[i], Goal: m.goal,
			}
			for k, values := range r.values[i] {
				x.Median[k] = median(values)
			}
			x.ratio(m.higher)
			if m.met != nil {
				met := m.met(x.Median[kafka], x.Median[ottla], x.Median[floor])
				x.Met = &met
			}
			list = append(list, x)
		}
	}
	return list
}

// ratio computes the ratio of each round.
func (x *row) ratio(higher bool) {
	var ratios []float64
	for i, o := range x.Rounds[ottla] {
		if i >= len(x.Rounds[kafka]) || o == 0 || x.Rounds[kafka][i] == 0 {
			continue
		}
		if higher {
			ratios = append(ratios, o/x.Rounds[kafka][i])
		} else {
			ratios = append(ratios, x.Rounds[kafka][i]/o)
		}
	}
	if len(ratios) > 0 {
		x.Ratio, x.RatioLow, x.RatioHigh = median(ratios), slices.Min(ratios), slices.Max(ratios)
	}
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// report prints the results.
func report(w io.Writer, format string, results []*result) error {
	list := rows(results)
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(list)
	case "markdown":
		fmt.Fprintln(w, "| case | figure | floor | Apache Kafka | Ottla | better by (rounds) | goal |\n|---|---|---|---|---|---|---|")
		for _, x := range list {
			fmt.Fprintf(w, "| %s |\n", strings.Join(x.cells(), " | "))
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "case\tfigure\tfloor\tApache Kafka\tOttla\tbetter by (rounds)\tgoal")
	for _, x := range list {
		fmt.Fprintln(t, strings.Join(x.cells(), "\t"))
	}
	return t.Flush()
}

func (x *row) cells() []string {
	better := "–"
	if x.Ratio > 0 {
		better = fmt.Sprintf("%s × (%s–%s)", figure(x.Ratio), figure(x.RatioLow), figure(x.RatioHigh))
	}
	goal := x.Goal
	if x.Met != nil && len(x.Rounds[ottla]) > 0 {
		verdict := "no"
		if *x.Met {
			verdict = "yes"
		}
		goal += ": " + verdict
	}
	return []string{x.Case, x.Metric, x.figure(floor), x.figure(kafka), x.figure(ottla), better, goal}
}

func (x *row) figure(k kind) string {
	v, ok := x.Median[k]
	if !ok {
		return "–"
	}
	return figure(v)
}

// figure prints a number with three digits.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
