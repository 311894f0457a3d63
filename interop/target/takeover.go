package target

// TakeOver returns an Ottla that replaces a Kafka that is down: with the same
// folder, address and server.properties, and additional settings. It is not
// started; call Up. Afterwards the Kafka's own Up takes the folder back.
func TakeOver(t Scope, kafka *Broker, set ...string) (*Broker, error) {
	binary, err := Binary()
	if err != nil {
		return nil, err
	}
	b := &Broker{Kind: Ottla, Addr: kafka.Addr, Dir: kafka.Dir, Properties: kafka.Properties, name: t.Name()}
	b.argv = []string{binary, "serve", "-c", kafka.Properties, "--set", "ottla.http.listener=none"}
	for _, kv := range set {
		b.argv = append(b.argv, "--set", kv)
	}
	t.Cleanup(func() {
		b.Kill()
		if t.Failed() {
			t.Logf("log of %s on %s:\n%s", b.Kind, b.Addr, b.log.Tail(60))
		}
	})
	return b, nil
}
