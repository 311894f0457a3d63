package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table prints aligned columns, two spaces apart. A column whose heading begins
// with "#" holds numbers: the mark is taken off and the column is aligned to
// the right.
type table struct {
	heads []string
	right []bool
	rows  [][]string
}

func newTable(heads ...string) *table {
	t := &table{}
	for _, h := range heads {
		name, number := strings.CutPrefix(h, "#")
		t.heads = append(t.heads, name)
		t.right = append(t.right, number)
	}
	return t
}

// row adds a row; each cell is printed as fmt.Sprint does, an empty one as "-".
func (t *table) row(cells ...any) {
	row := make([]string, len(t.heads))
	for i := range row {
		row[i] = "-"
		if i < len(cells) {
			if text := fmt.Sprint(cells[i]); text != "" {
				row[i] = text
			}
		}
	}
	t.rows = append(t.rows, row)
}

func (t *table) write(w io.Writer) {
	widths := make([]int, len(t.heads))
	all := append([][]string{t.heads}, t.rows...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			if t.right[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}
