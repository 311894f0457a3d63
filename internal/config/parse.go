package config

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// parse converts the text of a value to a bool, int64, float64, string or
// []string and checks it. why is the reason for a refusal in Kafka's wording,
// or "".
func (k *Key) parse(text string) (value any, why string) {
	value, why = k.convert(text)
	if why == "" && k.Valid != nil {
		why = k.Valid.Check(k.Name, value)
	}
	if why != "" {
		return nil, why
	}
	return value, ""
}

// convert is parse without the range check.
func (k *Key) convert(text string) (value any, why string) {
	trimmed := trim(text)
	switch k.Type {
	case Boolean:
		if !strings.EqualFold(trimmed, "true") && !strings.EqualFold(trimmed, "false") {
			return nil, invalid(k.Name, text, "Expected value to be either true or false")
		}
		value = strings.EqualFold(trimmed, "true")
	case Int, Short, Long:
		n, err := strconv.ParseInt(trimmed, 10, k.bits())
		if err != nil {
			return nil, invalid(k.Name, text, "Not a number of type "+k.Type.String())
		}
		value = n
	case Double:
		x, ok := parseDouble(trimmed)
		if !ok {
			return nil, invalid(k.Name, text, "Not a number of type DOUBLE")
		}
		value = x
	case List:
		value = k.splitList(trimmed)
	default:
		value = trimmed
	}
	return value, ""
}

func (k *Key) bits() int {
	switch k.Type {
	case Short:
		return 16
	case Int:
		return 32
	}
	return 64
}

// trim removes what Java's String.trim removes: all leading and trailing
// characters up to the space character.
func trim(s string) string { return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) }

// splitList splits at commas and trims the entries. Duplicates are removed from
// lists that do not allow them; Kafka does the same with a warning.
func (k *Key) splitList(trimmed string) []string {
	if trimmed == "" {
		return []string{}
	}
	list := strings.Split(trimmed, ",")
	for i := range list {
		list[i] = strings.Trim(list[i], " \t\n\v\f\r")
	}
	if _, unique := k.Valid.(listEnum); !unique {
		return list
	}
	kept := list[:0]
	for _, s := range list {
		if !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	return kept
}

// parseDouble parses the syntax of Java's Double.parseDouble: Go's
// floating-point literals without underscores, an optional type suffix, and the
// names of the special values. Values that are too large become infinite.
func parseDouble(s string) (float64, bool) {
	bare := strings.TrimLeft(s, "+-")
	switch {
	case bare == "NaN" && len(s)-len(bare) <= 1:
		return math.NaN(), true
	case bare == "Infinity" && len(s)-len(bare) <= 1:
		return math.Inf(1 - 2*strings.Count(s, "-")), true
	case bare == "" || !strings.ContainsRune("0123456789.", rune(bare[0])), strings.Contains(s, "_"):
		return 0, false
	}
	hex := strings.HasPrefix(strings.ToLower(bare), "0x")
	if last := s[len(s)-1]; strings.IndexByte("dDfF", last) >= 0 && (!hex || strings.ContainsAny(s, "pP")) {
		s = s[:len(s)-1]
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(x, 0) {
		return 0, false
	}
	return x, true
}

// format prints a parsed value in the format of Kafka's
// ConfigDef.convertToString.
func format(value any) string {
	switch v := value.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return formatDouble(v)
	case []string:
		return strings.Join(v, ",")
	case string:
		return v
	}
	return ""
}

// formatDouble prints in the format of Java's Double.toString: always with a
// fraction, and in scientific notation below 10^-3 and from 10^7 on.
func formatDouble(x float64) string {
	switch abs := math.Abs(x); {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 0):
		return strings.TrimPrefix(strconv.FormatFloat(x, 'f', -1, 64)+"inity", "+")
	case abs == 0 || abs >= 1e-3 && abs < 1e7:
		s := strconv.FormatFloat(x, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(x, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	sign := ""
	if exponent[0] == '-' {
		sign = "-"
	}
	return mantissa + "E" + sign + strings.TrimLeft(exponent[1:], "0")
}
