package config

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Validator restricts the values of a key in addition to their type.
type Validator interface {
	// Check returns the reason, in Kafka's wording, for which the parsed value
	// (int64, float64, string or []string) of the named key is refused, or "".
	Check(name string, value any) string
	// String is the range in the format of Kafka's documentation, such as
	// "[0,...]".
	String() string
}

// invalid is the wording of most errors.
func invalid(name string, value any, reason string) string {
	return "Invalid value " + show(value) + " for configuration " + name + ": " + reason
}

// show prints a parsed value in Java's format.
func show(value any) string {
	if list, ok := value.([]string); ok {
		return "[" + strings.Join(list, ", ") + "]"
	}
	return format(value)
}

// intRange is a range of INT, SHORT and LONG values.
type intRange struct {
	low, high int64
	bounded   bool // high is a limit
}

func (r intRange) Check(name string, value any) string {
	n := value.(int64)
	if n < r.low {
		return invalid(name, value, "Value must be at least "+strconv.FormatInt(r.low, 10))
	}
	if r.bounded && n > r.high {
		return invalid(name, value, "Value must be no more than "+strconv.FormatInt(r.high, 10))
	}
	return ""
}

func (r intRange) String() string {
	s := "[" + strconv.FormatInt(r.low, 10) + ",..."
	if r.bounded {
		s += "," + strconv.FormatInt(r.high, 10)
	}
	return s + "]"
}

// doubleRange is a range of DOUBLE values. NaN is accepted, as in Kafka.
type doubleRange struct{ low, high float64 }

func (r doubleRange) Check(name string, value any) string {
	x := value.(float64)
	if x < r.low {
		return invalid(name, value, "Value must be at least "+bound(r.low))
	}
	if x > r.high {
		return invalid(name, value, "Value must be no more than "+bound(r.high))
	}
	return ""
}

func (r doubleRange) String() string { return "[" + bound(r.low) + ",...," + bound(r.high) + "]" }

func bound(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// enum is a set of allowed strings.
type enum struct {
	values []string
	fold   bool // case-insensitive
}

func (e enum) Check(name string, value any) string {
	s := value.(string)
	for _, v := range e.values {
		if s == v || e.fold && strings.EqualFold(s, v) {
			return ""
		}
	}
	reason := "String must be one of"
	if e.fold {
		reason += " (case insensitive)"
	}
	return invalid(name, value, reason+": "+strings.Join(e.values, ", "))
}

func (e enum) String() string {
	s := "[" + strings.Join(e.values, ", ") + "]"
	if e.fold {
		return "(case insensitive) " + s
	}
	return s
}

// listEnum is a list without duplicates, of allowed strings or of any non-empty
// strings.
type listEnum struct {
	values  []string // nil: any
	emptyOK bool
}

func (l listEnum) Check(name string, value any) string {
	list := value.([]string)
	quoted := "Configuration '" + name + "'"
	if len(list) == 0 && !l.emptyOK {
		choice := "any non-empty value"
		if l.values != nil {
			choice = l.String()
		}
		return quoted + " must not be empty. Valid values include: " + choice
	}
	for i, s := range list {
		for _, earlier := range list[:i] {
			if s == earlier {
				return quoted + " values must not be duplicated."
			}
		}
	}
	for _, s := range list {
		if s == "" {
			return quoted + " values must not be empty."
		}
		if l.values != nil {
			if why := (enum{values: l.values}).Check(name, s); why != "" {
				return why
			}
		}
	}
	return ""
}

func (l listEnum) String() string {
	if l.values == nil {
		return ""
	}
	return enum{values: l.values}.String()
}

// anyString is a string that must be set but may be empty.
type anyString struct{}

func (anyString) Check(string, any) string { return "" }
func (anyString) String() string           { return "non-null string" }

// filledString is a string that may be unset but not empty.
type filledString struct{}

func (filledString) Check(name string, value any) string {
	if value.(string) == "" {
		return invalid(name, value, "String must be non-empty")
	}
	return ""
}

func (filledString) String() string { return "non-empty string" }

// gzipLevels are 1 to 9, and -1 for the library's default.
type gzipLevels struct{}

func (gzipLevels) Check(name string, value any) string {
	if n := value.(int64); n != -1 && (n < 1 || n > 9) {
		return invalid(name, value, "Value must be between 1 and 9 or equal to -1")
	}
	return ""
}

func (gzipLevels) String() string { return "[1,...,9] or -1" }

// voters is the format of controller.quorum.voters.
type voters struct{}

func (voters) Check(name string, value any) string {
	_, why := parseVoters(name, value.([]string))
	return why
}

func (voters) String() string { return "non-empty list" }

// servers is the format of controller.quorum.bootstrap.servers.
type servers struct{}

func (servers) Check(name string, value any) string {
	for _, entry := range value.([]string) {
		if _, _, ok := splitHostPort(entry); !ok {
			return "Failed to parse host name from " + entry + " for the configuration " + name +
				`. Each entry should be in the form "{host}:{port}"`
		}
	}
	return ""
}

func (servers) String() string { return "non-empty list" }

// throttled is a set of replicas: "*", or partition:broker pairs.
type throttled struct{}

const throttledForm = "[partitionId]:[brokerId],[partitionId]:[brokerId],..."

func (throttled) Check(name string, value any) string {
	if _, ok := parseThrottled(value.([]string)); !ok {
		return invalid(name, value, name+
			" must be the literal '*' or a list of replicas in the following format: "+throttledForm)
	}
	return ""
}

func (throttled) String() string { return throttledForm }

// parseThrottled parses a set of replicas. Empty entries are skipped, as in
// Kafka. Numbers beyond 32 bits match no replica.
func parseThrottled(list []string) (ThrottledReplicas, bool) {
	if strings.TrimSpace(strings.Join(list, "")) == "*" {
		return ThrottledReplicas{All: true}, true
	}
	var set ThrottledReplicas
	for _, entry := range list {
		if entry == "" {
			continue
		}
		partition, broker, ok := strings.Cut(entry, ":")
		if !ok || !digits(partition) || !digits(broker) {
			return ThrottledReplicas{}, false
		}
		p, err1 := strconv.ParseInt(partition, 10, 32)
		b, err2 := strconv.ParseInt(broker, 10, 32)
		if err1 == nil && err2 == nil {
			set.Pairs = append(set.Pairs, PartitionReplica{int32(p), int32(b)})
		}
	}
	return set, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// resetStrategy is the format of share.auto.offset.reset.
type resetStrategy struct{}

func (resetStrategy) Check(name string, value any) string {
	s := value.(string)
	if s == "latest" || s == "earliest" {
		return ""
	}
	if d, ok := strings.CutPrefix(s, "by_duration:"); ok {
		if seconds, ok := isoSeconds(d); ok && seconds >= 0 {
			return ""
		}
	}
	return invalid(name, value, "Invalid value `"+s+"` for configuration "+name+
		". The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.")
}

func (resetStrategy) String() string { return "[latest, earliest, by_duration:PnDTnHnMn.nS]" }

// isoDuration is the ISO 8601 format of Java's Duration.parse: days, hours,
// minutes and seconds, each with its own sign.
var isoDuration = regexp.MustCompile(
	`(?i)^([-+]?)P(?:([-+]?\d+)D)?(T(?:([-+]?\d+)H)?(?:([-+]?\d+)M)?(?:([-+]?\d+)(?:[.,](\d{0,9}))?S)?)?$`)

// isoSeconds returns the length of an ISO 8601 duration in seconds.
func isoSeconds(s string) (float64, bool) {
	m := isoDuration.FindStringSubmatch(s)
	if m == nil || m[3] != "" && len(m[3]) == 1 || m[2] == "" && m[3] == "" {
		return 0, false
	}
	total := 0.0
	for i, unit := range map[int]float64{2: 86400, 4: 3600, 5: 60, 6: 1} {
		if m[i] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i], 10, 64)
		if err != nil {
			return 0, false
		}
		total += float64(n) * unit
	}
	if m[7] != "" {
		fraction, _ := strconv.ParseFloat("0."+m[7], 64)
		total += math.Copysign(fraction, signOf(m[6]))
	}
	if m[1] == "-" {
		total = -total
	}
	return total, true
}

func signOf(number string) float64 {
	if strings.HasPrefix(number, "-") {
		return -1
	}
	return 1
}
