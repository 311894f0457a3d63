package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// Print prints the result of a command: v as a JSON object, or what text
// writes.
func (a *App) Print(v any, text func(w io.Writer)) error {
	if a.structured() {
		a.printObject(v)
		return nil
	}
	w := bufio.NewWriter(a.Out)
	text(w)
	return w.Flush()
}

// Notef tells the user something that is not the result, on standard error.
func (a *App) Notef(format string, args ...any) {
	fmt.Fprintf(a.Err, format+"\n", args...)
}

// items collects what failed of several things, each told at once on standard
// error.
type items struct {
	app    *App
	failed int
	// names lists what there is, for suggestions; nil: there are none.
	names func() []string
}

// check reports the error of one item; name is such as "topic orders".
func (i *items) check(name string, p *problem) {
	if p == nil {
		return
	}
	i.failed++
	i.app.Notef("ottla: %s: %s%s", name, p, i.suggestion(name, p))
}

// result ends a command: errItems when anything failed.
func (i *items) result() error {
	if i.failed > 0 {
		return errItems
	}
	return nil
}

// printObject prints v as the one object of the command.
func (a *App) printObject(v any) {
	a.printed = true
	text, err := a.encode(v, "  ")
	if err == nil {
		_, err = a.Out.Write(text)
	}
	if err != nil {
		fmt.Fprintf(a.Err, "ottla: writing the result: %v\n", err)
	}
}

// encode is v as JSON, with that indentation, or as YAML.
func (a *App) encode(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil || a.format == "json" {
		return b.Bytes(), err
	}
	return toYAML(b.Bytes())
}

// toYAML is the same document as YAML: names, order and numbers are JSON's, which
// is YAML too. A long number stays exact.
func toYAML(text []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	blockStyle(&doc)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err := errors.Join(e.Encode(&doc), e.Close())
	return b.Bytes(), err
}

// blockStyle takes the braces and quotes of JSON away. What would read as
// something else without quotes keeps them.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.SetString(n.Value)
	}
	for _, child := range n.Content {
		blockStyle(child)
	}
}

// PrintLine prints one of many results: v as one line of JSON or one document of
// YAML, or what text writes.
func (a *App) PrintLine(v any, text func(w io.Writer)) error {
	if !a.structured() {
		w := bufio.NewWriter(a.Out)
		text(w)
		return w.Flush()
	}
	a.printed = true // lines went out: no error object behind them
	line, err := a.encode(v, "")
	if err == nil && a.format == "yaml" {
		line = append([]byte("---\n"), line...)
	}
	if err == nil {
		_, err = a.Out.Write(line)
	}
	return err
}
