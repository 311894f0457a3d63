package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// plotAll draws a plot for each family of cases and each of their figures. Both
// axes are logarithmic. Each side has a line.
func plotAll(dir string, results []*result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	families := map[string][]*result{}
	var order []string
	for _, r := range results {
		f := r.testCase.family
		if f == "" {
			continue
		}
		if families[f] == nil {
			order = append(order, f)
		}
		families[f] = append(families[f], r)
	}
	for _, f := range order {
		for i, m := range families[f][0].testCase.metrics {
			name := strings.NewReplacer("/", "-per-", " ", "-", "µ", "u").Replace(f + "-" + m.name)
			if err := os.WriteFile(filepath.Join(dir, name+".svg"), []byte(plot(f, m.name, i, families[f])), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// The dimensions of a plot in pixels.
const (
	plotWidth, plotHeight        = 560, 340
	plotLeft, plotRight          = 70, 20
	plotTop, plotBottom          = 36, 50
	innerWidth, innerHeight      = plotWidth - plotLeft - plotRight, plotHeight - plotTop - plotBottom
	kafkaColor, ottlaColor, grey = "#b4531f", "#1f6fb4", "#999"
)

// axis maps values to pixels on a logarithmic scale.
type axis struct{ low, high, from, to float64 }

func (a axis) at(v float64) float64 {
	if a.low == a.high {
		return (a.from + a.to) / 2
	}
	return a.from + (math.Log(v)-math.Log(a.low))/(math.Log(a.high)-math.Log(a.low))*(a.to-a.from)
}

// ticks are the powers of ten on the axis.
func (a axis) ticks() (list []float64) {
	for v := math.Pow(10, math.Floor(math.Log10(a.low))); v <= a.high*1.0001; v *= 10 {
		if v >= a.low*0.9999 {
			list = append(list, v)
		}
	}
	return list
}

func plot(family, metric string, number int, results []*result) string {
	x := axis{math.Inf(1), 0, plotLeft, plotLeft + innerWidth}
	y := axis{math.Inf(1), 0, plotTop + innerHeight, plotTop}
	for _, r := range results {
		x.low, x.high = min(x.low, r.testCase.at), max(x.high, r.testCase.at)
		for _, values := range r.values[number] {
			if v := median(values); v > 0 {
				y.low, y.high = min(y.low, v), max(y.high, v)
			}
		}
	}
	y.low, y.high = math.Pow(10, math.Floor(math.Log10(y.low))), math.Pow(10, math.Ceil(math.Log10(y.high)))
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="20" font-size="14">%s by %s</text>`+"\n", plotLeft, metric, family)
	for _, v := range y.ticks() {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", plotLeft, plotLeft+innerWidth, y.at(v), y.at(v), plotLeft-6, y.at(v)+4, v)
	}
	for _, r := range results {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%g</text>`+"\n", x.at(r.testCase.at), plotTop+innerHeight+18, r.testCase.at)
	}
	for i, side := range []struct {
		kind  kind
		color string
		label string
	}{{kafka, kafkaColor, "Apache Kafka"}, {ottla, ottlaColor, "Ottla"}, {floor, grey, "floor"}} {
		line(&b, x, y, results, number, side.kind, side.color)
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", plotLeft+10+i*110, plotHeight-8, side.color, side.label)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// line draws one side: the medians, and the range of the rounds.
func line(b *strings.Builder, x, y axis, results []*result, number int, k kind, color string) {
	var points []string
	for _, r := range results {
		values := r.values[number][k]
		if v := median(values); v > 0 {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(r.testCase.at), y.at(v)))
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x.at(r.testCase.at), y.at(v), color)
		}
	}
	if len(points) > 1 {
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), color)
	}
}
