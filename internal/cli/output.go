package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Print prints the result of a command: v as a JSON object, or what text
// writes.
func (a *App) Print(v any, text func(w io.Writer)) error {
	if a.format == "json" {
		a.printJSON(v)
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
}

// check reports the error of one item; name is such as "topic orders".
func (i *items) check(name string, p *problem) {
	if p == nil {
		return
	}
	i.failed++
	i.app.Notef("ottla: %s: %s", name, p)
}

// result ends a command: errItems when anything failed.
func (i *items) result() error {
	if i.failed > 0 {
		return errItems
	}
	return nil
}

// PrintLine prints one of many results: v as one line of JSON, or what text
// writes.
func (a *App) PrintLine(v any, text func(w io.Writer)) error {
	if a.format != "json" {
		w := bufio.NewWriter(a.Out)
		text(w)
		return w.Flush()
	}
	a.printed = true // lines went out: no error object behind them
	e := json.NewEncoder(a.Out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
