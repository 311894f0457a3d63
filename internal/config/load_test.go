package config

import (
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWithoutAnything checks the configuration of `ottla serve` without any
// settings.
func TestWithoutAnything(t *testing.T) {
	b := mustLoad(t, "")
	local := []Listener{{Name: "PLAINTEXT", Protocol: "PLAINTEXT", Host: "127.0.0.1", Port: 9092}}
	for what, c := range map[string]struct{ got, want any }{
		"node":         {b.NodeID, int32(1)},
		"roles":        {[]bool{b.BrokerRole, b.ControllerRole}, []bool{true, true}},
		"cluster":      {b.ClusterID, ""},
		"rack":         {b.Rack == nil, true},
		"listeners":    {b.Listeners, local},
		"advertised":   {b.Advertised, local},
		"controllers":  {len(b.ControllerListenerNames) + len(b.AdvertisedControllers), 0},
		"inter-broker": {b.InterBrokerListener, "PLAINTEXT"},
		"voters":       {len(b.Voters), 0},
		"log dirs":     {b.LogDirs, []string{"./ottla-data"}},
		"metadata":     {b.MetadataLogDir, "./ottla-data"},
		"log level":    {b.LogLevel, slog.LevelInfo},
		"warnings":     {len(b.Warnings), 0},
		"settings":     {len(b.Settings()), 0},
		"unused":       {len(b.Unused()), 0},
		"topics":       {b.Topics, TopicDefaults{Partitions: 1, ReplicationFactor: 1, AutoCreate: true, DeleteEnable: true}},
		"offsets":      {b.Offsets, InternalTopic{Partitions: 50, ReplicationFactor: 1, SegmentBytes: 104857600}},
		"txn":          {b.Txn, InternalTopic{Partitions: 50, ReplicationFactor: 1, SegmentBytes: 104857600, MinInsyncReplicas: 1}},
		"share":        {b.Share, InternalTopic{Partitions: 50, ReplicationFactor: 1, SegmentBytes: 104857600, MinInsyncReplicas: 1}},
		"own":          {b.Ottla, Own{DiskReserve: 16 << 20, HTTPHosts: []string{}, MetricsPartitionsMax: 10000}},
		"network": {b.Network, Network{
			RequestMaxBytes: 104857600, QueuedMaxRequestBytes: -1, QueuedMaxRequests: 500, SendBufferBytes: 102400,
			ReceiveBufferBytes: 102400, ListenBacklog: 50, MaxIdle: 10 * time.Minute, MaxConnections: math.MaxInt32,
			MaxConnectionsPerIP: math.MaxInt32, MaxConnectionsPerIPOverrides: map[string]int32{},
			MaxConnectionCreationRate: math.MaxInt32, RequestTimeout: 30 * time.Second, FetchMaxBytes: 57671680,
			FetchSessions: 1000, MaxRequestPartitions: 2000,
		}},
		"logs": {b.Logs, Logs{
			RecoveryThreadsPerDir: 2, RetentionCheckInterval: 5 * time.Minute, InitialTaskDelay: 30 * time.Second,
			FlushSchedulerInterval: math.MaxInt64, RecoveryCheckpointInterval: time.Minute,
			StartOffsetCheckpointInterval: time.Minute, DirFailureTimeout: 30 * time.Second, CordonedDirs: []string{},
			CleanerEnable: true, CleanerThreads: 1, CleanerDedupeBufferSize: 134217728, CleanerIOBufferSize: 524288,
			CleanerIOBufferLoadFactor: 0.9, CleanerIOMaxBytesPerSecond: math.MaxFloat64, CleanerBackoff: 15 * time.Second,
		}},
		"metadata log": {b.Metadata, Metadata{
			SegmentBytes: 1 << 30, SegmentAge: 7 * 24 * time.Hour, RetentionBytes: 104857600, Retention: 7 * 24 * time.Hour,
			MaxBatchBytes: 8388608, DeleteDelay: time.Minute, SnapshotBytes: 20971520, SnapshotInterval: time.Hour,
			MaxIdleInterval: 500 * time.Millisecond, ElectionTimeout: time.Second, ElectionBackoffMax: time.Second,
			FetchTimeout: 2 * time.Second, RequestTimeout: 2 * time.Second, RetryBackoff: 20 * time.Millisecond,
			AppendLinger: 25 * time.Millisecond, FetchMaxBytes: 1048576, FetchSnapshotMaxBytes: 1048576,
			BrokerSessionTimeout: 2 * time.Second, BrokerHeartbeatInterval: 500 * time.Millisecond,
			BrokerRegistrationTimeout: time.Minute, LeaderRebalance: true, LeaderRebalanceInterval: 5 * time.Minute,
		}},
		"replication": {b.Replication, Replication{
			Fetchers: 1, LagTimeMax: 30 * time.Second, FetchMaxBytes: 1048576, FetchMinBytes: 1,
			FetchResponseMaxBytes: 10485760, FetchWaitMax: 500 * time.Millisecond, FetchBackoff: time.Second,
			SocketTimeout: 30 * time.Second, CheckpointInterval: 5 * time.Second,
		}},
		"producers": {b.Producers, Producers{
			IDExpiration: 24 * time.Hour, IDExpirationCheck: 10 * time.Minute, IDsMax: 200000, TransactionMaxTimeout: 15 * time.Minute,
			TransactionIDExpiration: 7 * 24 * time.Hour,
		}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %+v, want %+v", what, c.got, c.want)
		}
	}
}

// TestPrecedence sets one key in more and more sources. The highest priority
// wins, and the value has its origin.
func TestPrecedence(t *testing.T) {
	s := Sources{}
	steps := []struct {
		add    func()
		value  string
		origin Origin
		where  string
	}{
		{func() {}, "1", FromDefault, ""},
		{func() { s.File, s.FileName = "#\nnum.partitions=2", "my.properties" }, "2", FromFile, "my.properties:2"},
		{func() { s.Env = append(s.Env, "KAFKA_NUM_PARTITIONS=3") }, "3", FromKafkaEnv, "KAFKA_NUM_PARTITIONS"},
		{func() { s.Flags = map[string]string{"num.partitions": "4"} }, "4", FromFlag, "a flag"},
		{func() { s.Set = []string{"num.partitions=5"} }, "5", FromSet, "--set"},
	}
	for _, step := range steps {
		step.add()
		b, err := Load(s)
		if err != nil {
			t.Fatal(err)
		}
		value, origin, ok := b.Value("num.partitions")
		if value != step.value || origin != step.origin || !ok {
			t.Errorf("%s from %v, want %s from %v", value, origin, step.value, step.origin)
		}
		if all := b.Settings(); len(all) > 0 && all[0].Where != step.where {
			t.Errorf("set by %s, want %s", all[0].Where, step.where)
		}
	}
	// Ottla's own keys are between the two.
	b, err := Load(Sources{File: "ottla.durability=page-cache", Env: []string{"CLUSTER_ID=a", "OTTLA_CLUSTER_ID=b", "OTTLA_DURABILITY=fsync"}})
	if err != nil || b.ClusterID != "b" || b.Ottla.Durability != Fsync {
		t.Errorf("cluster %q, durability %v, %v", b.ClusterID, b.Ottla.Durability, err)
	}
}

// TestSynonymsAcrossSources: a synonym in a source of higher priority hides the
// synonyms in lower ones.
func TestSynonymsAcrossSources(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Sources
		key  func(*Broker) any
		want any
	}{
		{"ms beats hours in one file", Sources{File: "log.retention.hours=1\nlog.retention.ms=5"}, retention, int64(5)},
		{"minutes beat hours in one file", Sources{File: "log.retention.hours=1\nlog.retention.minutes=2"}, retention, int64(120000)},
		{"hours of --set beat ms of the file", Sources{File: "log.retention.ms=5", Set: []string{"log.retention.hours=1"}}, retention, int64(3600000)},
		{"ms of the file do not beat minutes of the environment", Sources{File: "log.retention.ms=5", Env: []string{"KAFKA_LOG_RETENTION_MINUTES=1"}}, retention, int64(60000)},
		{"any negative retention is for ever", Sources{File: "log.retention.hours=-7"}, retention, int64(-1)},
		{"broker.id is node.id", Sources{File: "broker.id=7"}, func(b *Broker) any { return b.NodeID }, int32(7)},
		{"node.id of --set beats broker.id of the file", Sources{File: "broker.id=7", Set: []string{"node.id=8"}}, func(b *Broker) any { return b.NodeID }, int32(8)},
		{"log.dirs beats log.dir", Sources{File: "log.dir=/x\nlog.dirs=/a,/b"}, dirs, []string{"/a", "/b"}},
		{"log.dir of the environment beats log.dirs of the file", Sources{File: "log.dirs=/a,/b", Env: []string{"KAFKA_LOG_DIR=/x"}}, dirs, []string{"/x"}},
		{"the flag --data beats both", Sources{File: "log.dirs=/a,/b", Flags: map[string]string{"log.dirs": "/d"}}, dirs, []string{"/d"}},
		{"log.dirs without repetition", Sources{File: "log.dirs=/a, /b,/a"}, dirs, []string{"/a", "/b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Load(c.s)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.key(b); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func retention(b *Broker) any { return b.topic.RetentionMs }
func dirs(b *Broker) any      { return b.LogDirs }

// TestImageEnvironment uses the environment of Apache Kafka's own compose file
// for a single node.
func TestImageEnvironment(t *testing.T) {
	b, err := Load(Sources{Env: []string{
		"KAFKA_NODE_ID=1", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
		"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT_HOST://localhost:9092,PLAINTEXT://broker:19092", "KAFKA_PROCESS_ROLES=broker,controller",
		"KAFKA_CONTROLLER_QUORUM_VOTERS=1@broker:29093", "KAFKA_LISTENERS=CONTROLLER://:29093,PLAINTEXT_HOST://:9092,PLAINTEXT://:19092",
		"KAFKA_INTER_BROKER_LISTENER_NAME=PLAINTEXT", "KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER", "CLUSTER_ID=4L6g3nShT-eMCtK--X86sw",
		"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1", "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0", "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1",
		"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1", "KAFKA_LOG_DIRS=/tmp/kraft-combined-logs",
		"KAFKA_OPTS=-Xmx1g", "KAFKA_LOG4J_ROOT_LOGLEVEL=DEBUG", "PATH=/bin", "broken",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if b.ClusterID != "4L6g3nShT-eMCtK--X86sw" || b.LogLevel != slog.LevelDebug || len(b.Warnings) != 0 {
		t.Errorf("cluster %q, level %v, warnings %v", b.ClusterID, b.LogLevel, b.Warnings)
	}
	if len(b.Listeners) != 3 || !b.Listeners[0].Controller || b.Listeners[0].Port != 29093 || b.Listeners[1].Host != "" {
		t.Errorf("listeners %+v", b.Listeners)
	}
	want := []Listener{{"PLAINTEXT_HOST", "PLAINTEXT", "localhost", 9092, false}, {"PLAINTEXT", "PLAINTEXT", "broker", 19092, false}}
	if !slices.Equal(b.Advertised, want) || b.InterBrokerListener != "PLAINTEXT" {
		t.Errorf("advertised %+v, between brokers %s", b.Advertised, b.InterBrokerListener)
	}
	if !slices.Equal(b.Voters, []Voter{{1, "broker", 29093}}) {
		t.Errorf("voters %v", b.Voters)
	}
	if got := b.Unused(); len(got) != 0 {
		t.Errorf("unused %v", got)
	}
}

// TestAdvertisedAlone: the image's script listens on all interfaces if only the
// advertised listeners are set.
func TestAdvertisedAlone(t *testing.T) {
	s := Sources{Env: []string{"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://broker.example:9094"}}
	b, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	if b.Listeners[0].Host != "0.0.0.0" || b.Listeners[0].Port != 9094 || b.Advertised[0].Host != "broker.example" {
		t.Errorf("%+v, advertised %+v", b.Listeners, b.Advertised)
	}
	s.File = "listeners=PLAINTEXT://127.0.0.1:9092"
	if b, err = Load(s); err != nil || b.Listeners[0].Host != "127.0.0.1" {
		t.Errorf("%+v, %v", b.Listeners, err)
	}
}

// TestRefusals: each invalid configuration gives a one-line error that names
// the source.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"type", "log.retention.ms=abc", "Invalid value abc for configuration log.retention.ms: Not a number of type LONG (set by server.properties:1)"},
		{"range", "a=b\nnum.partitions=0", "Invalid value 0 for configuration num.partitions: Value must be at least 1 (set by server.properties:2)"},
		{"duplicate", "a=1\na=2", "line 2: a is set a second time (first in line 1) (set by server.properties)"},
		{"ids", "node.id=1\nbroker.id=2", "You must set `node.id` to the same value as `broker.id`. (set by server.properties:1)"},
		{"negative id", "node.id=-1", "Invalid value -1 for configuration node.id: Value must be at least 0 (set by server.properties:1)"},
		{"TLS listener", "listeners=SSL://:9093", "listener SSL asks for SSL, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"TLS by the map", "listeners=A://:9093\nlistener.security.protocol.map=A:SASL_SSL", "listener A asks for SASL_SSL, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"authorizer", "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "authorizer.class.name asks for authorization, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"sasl", "sasl.enabled.mechanisms=PLAIN", "sasl.enabled.mechanisms asks for SASL, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"ssl", "ssl.client.auth=none", "ssl.client.auth asks for TLS, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"ssl, unknown key", "ssl.quite.new=1", "ssl.quite.new asks for TLS, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"ssl of a listener", "listener.name.a.ssl.keystore.location=/x", "listener.name.a.ssl.keystore.location asks for TLS, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"sasl of a mechanism", "listener.name.a.scram-sha-256.sasl.jaas.config=x", "listener.name.a.scram-sha-256.sasl.jaas.config asks for SASL, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"tokens", "delegation.token.secret.key=x", "delegation.token.secret.key asks for delegation tokens, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"policy", "create.topic.policy.class.name=X", "create.topic.policy.class.name asks for policies on new topics, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"reauthentication", "connections.max.reauth.ms=5", "connections.max.reauth.ms asks for re-authentication, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"principal", "principal.builder.class=X", "principal.builder.class asks for other principals, which Ottla does not serve yet; it does not start without the protection (set by server.properties:1)"},
		{"provider", "config.providers=env\nlog.dirs=${env:X}", "log.dirs refers to a config provider, which Ottla does not have (set by server.properties:2)"},
		{"three voters", "controller.quorum.voters=1@a:1,2@b:1,3@c:1", "controller.quorum.voters names 3 voters: Ottla runs on a single node so far (set by server.properties:1)"},
		{"another voter", "controller.quorum.voters=2@a:1", "If process.roles contains the 'controller' role, the node id 1 must be included in the set of voters controller.quorum.voters=2@a:1 (set by server.properties:1)"},
		{"two bootstrap controllers", "controller.quorum.bootstrap.servers=a:1,b:1", "controller.quorum.bootstrap.servers names 2 controllers: Ottla runs on a single node so far (set by server.properties:1)"},
		{"broker alone", "process.roles=broker", "process.roles=broker needs other nodes: Ottla runs as broker,controller on a single node so far (set by server.properties:1)"},
		{"roll", "log.roll.ms=0", "log.roll.ms must be greater than or equal to 1 (set by server.properties:1)"},
		{"flush", "log.flush.interval.ms=-1", "Invalid value -1 for configuration flush.ms: Value must be at least 0 (set by server.properties:1)"},
		{"jitter", "log.roll.jitter.ms=-1", "log.roll.jitter.ms must be greater than or equal to 0 (set by server.properties:1)"},
		{"retention", "log.retention.ms=0", "log.retention.ms must be unlimited (-1) or, greater than or equal to 1 (set by server.properties:1)"},
		{"dedupe buffer", "log.cleaner.dedupe.buffer.size=1048576", "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread. (set by server.properties:1)"},
		{"fetch wait", "replica.fetch.wait.max.ms=40000", "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts (set by server.properties:1)"},
		{"lag", "replica.lag.time.max.ms=100", "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent changes in ISR"},
		{"queue", "queued.max.request.bytes=5", "queued.max.request.bytes must be larger or equal to socket.request.max.bytes (set by server.properties:1)"},
		{"per ip", "max.connections.per.ip=0", "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set. (set by server.properties:1)"},
		{"overrides", "max.connections.per.ip.overrides=a:1,h", "Invalid value a:1,h for configuration max.connections.per.ip.overrides: h is not of the form host:count (set by server.properties:1)"},
		{"idle", "connections.max.idle.ms=50", "connection.failed.authentication.delay.ms=100 should always be less than connections.max.idle.ms=50 to prevent failed authentication responses from timing out (set by server.properties:1)"},
		{"classic", "group.coordinator.rebalance.protocols=consumer", "Disabling the 'classic' protocol is not supported. (set by server.properties:1)"},
		{"cordoned", "cordoned.log.dirs=/q", "All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : /q (set by server.properties:1)"},
		{"cordoned star", "log.dirs=/a\ncordoned.log.dirs=*,/a", "When cordoned.log.dirs is set to *, it must not contain other values (set by server.properties:2)"},
		{"group", "group.consumer.session.timeout.ms=10", "group.consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms (set by server.properties:1)"},
		{"group bounds", "group.share.min.heartbeat.interval.ms=20000", "group.share.max.heartbeat.interval.ms must be greater than or equal to group.share.min.heartbeat.interval.ms"},
		{"group heartbeat", "group.consumer.heartbeat.interval.ms=45000\ngroup.consumer.max.heartbeat.interval.ms=45000", "group.consumer.session.timeout.ms must be greater than group.consumer.heartbeat.interval.ms"},
		{"compaction lags", "log.cleaner.min.compaction.lag.ms=10\nlog.cleaner.max.compaction.lag.ms=5", "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"},
		{"listener's own", "listener.name.a.max.connections=x", "Invalid value x for configuration max.connections: Not a number of type INT (set by server.properties:1)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Load(Sources{File: c.file})
			if asError(t, err); b != nil {
				t.Errorf("got %v", b)
			}
			if err.Error() != c.want || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestRefusedArguments(t *testing.T) {
	for want, s := range map[string]Sources{
		`--set wants name=value, not "x"`:                                                     {Set: []string{"x"}},
		`--set wants name=value, not " =1"`:                                                   {Set: []string{" =1"}},
		"a is set a second time, first by --set (set by --set)":                               {Set: []string{"a=1", "a=2"}},
		"a.b is set a second time, first by KAFKA_A_B (set by KAFKA_a_b)":                     {Env: []string{"KAFKA_a_b=2", "KAFKA_A_B=1"}},
		"Invalid value x for configuration node.id: Not a number of type INT (set by a flag)": {Flags: map[string]string{"node.id": "x"}},
		"Invalid value loud for configuration ottla.log.level: String must be one of (case insensitive): trace, debug, info, warn, error, fatal, off, all (set by KAFKA_LOG4J_ROOT_LOGLEVEL)": {
			Env: []string{"KAFKA_LOG4J_ROOT_LOGLEVEL=loud"}},
	} {
		if _, err := Load(s); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestSecretsStaySecret: no message and no list contains a password.
func TestSecretsStaySecret(t *testing.T) {
	_, err := Load(Sources{File: "delegation.token.secret.key=hush"})
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
	b := mustLoad(t, "my.password=hush")
	for _, s := range b.Settings() {
		if s.Value != "[hidden]" {
			t.Errorf("%s shows %s", s.Name, s.Value)
		}
	}
}

// TestUnknownKeys are kept and reported once, with a hint if possible.
func TestUnknownKeys(t *testing.T) {
	b := mustLoad(t, "num.partition=3\nretention.ms=5\nquite.something.else=x\nleader.replication.throttled.rate=1\n"+
		"rsm.config.x=1\nlistener.name.a.max.connections=4\nlog.preallocate=true\nlistener.name.a=1")
	want := []string{
		"unknown configuration leader.replication.throttled.rate (set by server.properties:4) is ignored; it can only be set at run time",
		"unknown configuration listener.name.a (set by server.properties:8) is ignored",
		"unknown configuration num.partition (set by server.properties:1) is ignored; is num.partitions meant?",
		"unknown configuration quite.something.else (set by server.properties:3) is ignored",
		"unknown configuration retention.ms (set by server.properties:2) is ignored; it configures a topic, and its default is log.retention.ms",
	}
	if !slices.Equal(b.Warnings, want) {
		t.Errorf("warnings:\n%s", strings.Join(b.Warnings, "\n"))
	}
	if value, _, ok := b.Value("quite.something.else"); value != "x" || !ok {
		t.Errorf("an unknown key has %q, %v", value, ok)
	}
	if _, _, ok := b.Value("never.heard.of"); ok {
		t.Error("a key that is not there has a value")
	}
	if got, want := b.Unused(), []string{"listener.name.a.max.connections", "log.preallocate", "rsm.config.x"}; !slices.Equal(got, want) {
		t.Errorf("unused %v, want %v", got, want)
	}
}

// TestHarmlessGuards: values of the guards that request no protection are
// accepted.
func TestHarmlessGuards(t *testing.T) {
	mustLoad(t, "log.dirs=/a/${b}")
	mustLoad(t, "authorizer.class.name=\nssl.keystore.location=\nsasl.jaas.config=\nconnections.max.reauth.ms=0\n"+
		"principal.builder.class=org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder\n"+
		"security.inter.broker.protocol=PLAINTEXT\nconfig.providers=env\nlog.dirs=/a$b\ncontroller.quorum.bootstrap.servers=localhost:9093")
}

func TestOwnKeys(t *testing.T) {
	b := mustLoad(t, "ottla.durability=page-cache\nottla.flush.method=syncfs\nottla.open.files.max=7\nottla.disk.reserve.bytes=4096\nottla.memory.max=99999999999\n"+
		"ottla.http.listener=:8080\nottla.http.hosts=a, b.example\nottla.log.level=WARN\nbroker.rack=r1\nmetadata.log.dir=/m\ncordoned.log.dirs=*\n"+
		"internal.metadata.log.segment.bytes=4096\nmax.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:2, [::1]:3 ,host:4")
	if want := (Own{Durability: PageCache, FlushMethod: FlushSyncfs, OpenFilesMax: 7, DiskReserve: 4096, MemoryMax: 99999999999, HTTPListener: ":8080", HTTPHosts: []string{"a", "b.example"}, MetricsPartitionsMax: 10000}); !reflect.DeepEqual(b.Ottla, want) {
		t.Errorf("%+v", b.Ottla)
	}
	if b.LogLevel != slog.LevelWarn || b.Rack == nil || *b.Rack != "r1" || b.MetadataLogDir != "/m" || b.Metadata.SegmentBytes != 4096 {
		t.Errorf("%v %v %v %v", b.LogLevel, b.Rack, b.MetadataLogDir, b.Metadata.SegmentBytes)
	}
	if !slices.Equal(b.Logs.CordonedDirs, []string{"./ottla-data"}) {
		t.Errorf("cordoned %v", b.Logs.CordonedDirs)
	}
	if want := map[string]int32{"127.0.0.1": 2, "::1": 3, "host": 4}; !reflect.DeepEqual(b.Network.MaxConnectionsPerIPOverrides, want) {
		t.Errorf("%v", b.Network.MaxConnectionsPerIPOverrides)
	}
}

func TestLogLevels(t *testing.T) {
	for name, want := range map[string]slog.Level{
		"TRACE": -8, "all": -8, "debug": -4, "Info": 0, "warn": 4, "ERROR": 8, "fatal": 12, "off": math.MaxInt, "": 0,
	} {
		if got := logLevel(name); got != want {
			t.Errorf("%s is %d", name, got)
		}
	}
}

// TestSlowHeartbeat is only a warning, as in Kafka: the two keys are used by
// different nodes.
func TestSlowHeartbeat(t *testing.T) {
	b := mustLoad(t, "broker.heartbeat.interval.ms=1500")
	if len(b.Warnings) != 1 || !strings.HasPrefix(b.Warnings[0], "broker.heartbeat.interval.ms (1500) is more than half of") {
		t.Errorf("warnings %v", b.Warnings)
	}
}

// TestPeriodsSaturate: a period that does not fit in a Duration becomes the
// maximum.
func TestPeriodsSaturate(t *testing.T) {
	b := mustLoad(t, "log.roll.ms=9223372036854775807\nconnections.max.idle.ms=-9223372036854775808")
	if b.topic.SegmentAge != math.MaxInt64 || b.Network.MaxIdle != math.MinInt64 {
		t.Errorf("%v %v", b.topic.SegmentAge, b.Network.MaxIdle)
	}
}
