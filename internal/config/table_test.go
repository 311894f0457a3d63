package config

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"
)

// readTSV reads a table of testdata: comments, a row of names, rows.
func readTSV(t *testing.T, name string) []map[string]string {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var columns []string
	var rows []map[string]string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if columns == nil {
			columns = fields
			continue
		}
		row := map[string]string{}
		for i, field := range fields {
			row[columns[i]] = field
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return rows
}

// TestTableIsKafkas compares the table with Apache Kafka's own definitions: the
// keys are the same, and all facts agree.
func TestTableIsKafkas(t *testing.T) {
	for file, scope := range map[string]Scope{
		"broker-configs.tsv": ScopeBroker, "topic-configs.tsv": ScopeTopic, "group-configs.tsv": ScopeGroup,
	} {
		rows := readTSV(t, file)
		listed := map[string]bool{}
		for _, row := range rows {
			listed[row["name"]] = true
			k, ok := Lookup(scope, row["name"])
			if !ok {
				t.Errorf("%s: %s is missing", file, row["name"])
				continue
			}
			compareKey(t, k, row)
		}
		for _, k := range Keys(scope) {
			if !listed[k.Name] && !k.DynamicOnly && !strings.HasPrefix(k.Name, "ottla.") {
				t.Errorf("%s is not a key of Kafka's", k.Name)
			}
		}
	}
}

func compareKey(t *testing.T, k Key, row map[string]string) {
	t.Helper()
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s is %q, Kafka's %q", k.Name, what, got, want)
		}
	}
	def := "null"
	switch {
	case k.KafkaDefault != "":
		def = k.KafkaDefault
	case k.HasDefault && k.Type == Class:
		def = "class " + k.Default
	case k.HasDefault:
		def = k.Default
	}
	valid := ""
	if k.Valid != nil {
		valid = k.Valid.String()
	}
	check("type", k.Type.String(), row["type"])
	check("default", def, row["default"])
	check("range", valid, row["range"])
	check("internal", yes(k.Internal, "true", "false"), row["internal"])
	check("sensitive", yes(k.Sensitive, "yes", "no"), row["sensitive"])
	if k.Scope == ScopeBroker && row["dynamic"] != "" {
		check("dynamic", yes(k.Dynamic != ReadOnly, "yes", "no"), row["dynamic"])
	}
}

func yes(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// TestOwnDefaults checks the list of defaults that differ from Kafka's, so that
// it stays short and deliberate.
func TestOwnDefaults(t *testing.T) {
	want := map[string]string{
		"node.id": "1", "process.roles": "broker,controller", "controller.listener.names": "",
		"listeners": "PLAINTEXT://127.0.0.1:9092", "log.dir": "./ottla-data",
		"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500",
	}
	for _, k := range slices.Concat(Keys(ScopeBroker), Keys(ScopeTopic), Keys(ScopeGroup)) {
		def, listed := want[k.Name]
		if own := k.KafkaDefault != ""; own != listed || own && k.Default != def {
			t.Errorf("%s: default %q, Kafka's %q", k.Name, k.Default, k.KafkaDefault)
		}
	}
}

// TestPerBroker checks the keys that cannot be altered for all brokers at once,
// as reported by Kafka's DynamicBrokerConfig.dynamicConfigUpdateModes.
func TestPerBroker(t *testing.T) {
	var got []string
	for _, k := range Keys(ScopeBroker) {
		if k.Dynamic == PerBroker {
			got = append(got, k.Name)
		}
	}
	want := strings.Fields(`cordoned.log.dirs listener.security.protocol.map listeners principal.builder.class
		sasl.enabled.mechanisms sasl.jaas.config sasl.kerberos.kinit.cmd sasl.kerberos.min.time.before.relogin
		sasl.kerberos.principal.to.local.rules sasl.kerberos.service.name sasl.kerberos.ticket.renew.jitter
		sasl.kerberos.ticket.renew.window.factor sasl.login.refresh.buffer.seconds sasl.login.refresh.min.period.seconds
		sasl.login.refresh.window.factor sasl.login.refresh.window.jitter sasl.mechanism.inter.broker.protocol
		ssl.cipher.suites ssl.client.auth ssl.enabled.protocols ssl.endpoint.identification.algorithm
		ssl.engine.factory.class ssl.key.password ssl.keymanager.algorithm ssl.keystore.certificate.chain ssl.keystore.key
		ssl.keystore.location ssl.keystore.password ssl.keystore.type ssl.protocol ssl.provider
		ssl.secure.random.implementation ssl.trustmanager.algorithm ssl.truststore.certificates ssl.truststore.location
		ssl.truststore.password ssl.truststore.type`)
	if !slices.Equal(got, want) {
		t.Errorf("per broker: %v\nKafka's:    %v", got, want)
	}
}

// TestDocs checks the documentation of each key: it exists, is short, has whole
// sentences, and differs from that of other keys.
func TestDocs(t *testing.T) {
	for _, scope := range []Scope{ScopeBroker, ScopeTopic, ScopeGroup} {
		seen := map[string]string{}
		for _, k := range Keys(scope) {
			switch {
			case k.Doc == "" || !strings.HasSuffix(k.Doc, "."):
				t.Errorf("%s: documentation %q is no sentence", k.Name, k.Doc)
			case len(k.Doc) > 320:
				t.Errorf("%s: documentation has %d characters", k.Name, len(k.Doc))
			case strings.Contains(k.Doc, "  "):
				t.Errorf("%s: two blanks in %q", k.Name, k.Doc)
			case seen[k.Doc] != "":
				t.Errorf("%s and %s are documented alike", k.Name, seen[k.Doc])
			case k.Subject == "":
				t.Errorf("%s has no subject", k.Name)
			}
			seen[k.Doc] = k.Name
			for _, unit := range []struct{ suffix, word string }{
				{".ms", "illisecond"}, {".seconds", "econd"}, {".minutes", "inute"}, {".hours", "hour"}, {".bytes", "ytes"},
			} {
				if strings.HasSuffix(k.Name, unit.suffix) && !strings.Contains(k.Doc, unit.word) &&
					!strings.HasPrefix(k.Doc, "Minimum value of ") && !strings.HasPrefix(k.Doc, "Maximum value of ") && !strings.HasPrefix(k.Doc, "Replaces ") {
					t.Errorf("%s: documentation %q does not name its unit", k.Name, k.Doc)
				}
			}
		}
	}
}

// TestDefaultsAreValid parses each default with the key's own type and range.
func TestDefaultsAreValid(t *testing.T) {
	for _, k := range slices.Concat(Keys(ScopeBroker), Keys(ScopeTopic), Keys(ScopeGroup)) {
		if !k.HasDefault {
			continue
		}
		value, why := k.parse(k.Default)
		if why != "" {
			t.Errorf("default of %s: %s", k.Name, why)
		} else if got := format(value); got != k.Default {
			t.Errorf("default of %s: %q is printed as %q", k.Name, k.Default, got)
		}
	}
}

// TestSynonymsExist checks that the broker synonyms of topic and group keys
// exist, and that every topic key is in the snapshot.
func TestSynonymsExist(t *testing.T) {
	none := []string{"remote.storage.enable", "remote.log.copy.disable", "remote.log.delete.on.disable",
		"leader.replication.throttled.replicas", "follower.replication.throttled.replicas", "internal.segment.bytes",
		"share.auto.offset.reset", "share.isolation.level", "share.renew.acknowledge.enable"}
	noField := []string{"remote.storage.enable", "remote.log.copy.disable", "remote.log.delete.on.disable",
		"local.retention.ms", "local.retention.bytes"}
	for _, k := range slices.Concat(Keys(ScopeTopic), Keys(ScopeGroup)) {
		if (len(k.BrokerSynonyms) == 0) != slices.Contains(none, k.Name) {
			t.Errorf("%s falls back to %v", k.Name, k.BrokerSynonyms)
		}
		for _, s := range k.BrokerSynonyms {
			if _, ok := Lookup(ScopeBroker, s.Name); !ok || s.Scale < 1 {
				t.Errorf("%s falls back to %v", k.Name, s)
			}
		}
		if k.Scope == ScopeTopic && (topicFields[k.Name] == nil) != slices.Contains(noField, k.Name) {
			t.Errorf("%s has no field in Topic", k.Name)
		}
	}
	for name := range topicFields {
		if _, ok := Lookup(ScopeTopic, name); !ok {
			t.Errorf("%s is no topic key", name)
		}
	}
}

func TestKeysAreTheCallers(t *testing.T) {
	keys := Keys(ScopeBroker)
	if !slices.IsSortedFunc(keys, func(a, b Key) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("keys are not sorted")
	}
	keys[0].Name = "spoilt"
	if Keys(ScopeBroker)[0].Name == "spoilt" {
		t.Error("a caller can change the table")
	}
	if _, ok := Lookup(ScopeTopic, "no.such.key"); ok {
		t.Error("found a key that is not there")
	}
}

func TestNames(t *testing.T) {
	for i, want := range []string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"} {
		if got := Type(i).String(); got != want {
			t.Errorf("Type(%d) is %s", i, got)
		}
	}
	for i, want := range []string{"read-only", "per-broker", "cluster-wide"} {
		if got := Dynamic(i).String(); got != want {
			t.Errorf("Dynamic(%d) is %s", i, got)
		}
	}
	for i, want := range []string{"default", "file", "file", "environment", "environment", "flag", "--set"} {
		if got := Origin(i).String(); got != want {
			t.Errorf("Origin(%d) is %s", i, got)
		}
	}
}
