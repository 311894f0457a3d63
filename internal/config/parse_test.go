package config

import "testing"

// TestParseAsKafka compares with the results of Apache Kafka's ConfigDef for
// some 700 values: the parsed values and the error messages.
func TestParseAsKafka(t *testing.T) {
	scopes := map[string]Scope{"broker": ScopeBroker, "topic": ScopeTopic, "group": ScopeGroup}
	for _, row := range readTSV(t, "parse.tsv") {
		k := lookup(scopes[row["scope"]], row["name"])
		value, why := k.parse(row["value"])
		outcome, text := "ok", format(value)
		if why != "" {
			outcome, text = "error", why
		}
		if k.Type == Password {
			text = "[hidden]"
		}
		if outcome != row["outcome"] || text != row["text"] {
			t.Errorf("%s=%q: %s %q\nKafka: %s %q", k.Name, row["value"], outcome, text, row["outcome"], row["text"])
		}
	}
}

// TestClassesAreText: class names are plain text.
func TestClassesAreText(t *testing.T) {
	value, why := lookup(ScopeBroker, "principal.builder.class").parse(" a.b.C ")
	if value != "a.b.C" || why != "" {
		t.Errorf("got %v, %s", value, why)
	}
}

func TestSecondsOfISODurations(t *testing.T) {
	for text, want := range map[string]float64{
		"PT1H": 3600, "P1D": 86400, "P1DT1M": 86460, "PT0.5S": 0.5, "PT-0.5S": -0.5, "-PT2S": -2, "PT-1H": -3600, "P-1DT24H": 0,
	} {
		if got, ok := isoSeconds(text); !ok || got != want {
			t.Errorf("%s: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "P", "PT", "1H", "PT1D", "P1H", "PT99999999999999999999S"} {
		if _, ok := isoSeconds(text); ok {
			t.Errorf("%s is a duration", text)
		}
	}
}
