package config

import (
	"strings"
	"testing"
)

// FuzzLoad sets one random key to a random value. The node's configuration must
// be refused with a one-line error, or it must be possible to describe it. The
// same must hold for an alteration at run time, for a topic and for a group.
func FuzzLoad(f *testing.F) {
	for i, k := range Keys(ScopeBroker) {
		for _, value := range []string{k.Default, "-1", "a,b", "X://h:1,CONTROLLER://[::1]:0", "1@h:2", "*", "by_duration:PT1H", "a:1,b:2"} {
			f.Add(uint16(i), value)
		}
	}
	f.Add(uint16(0), "\n\r\x00\xff")
	keys := [][]Key{Keys(ScopeBroker), Keys(ScopeTopic), Keys(ScopeGroup)}
	plain, err := Load(Sources{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key uint16, value string) {
		oneLine := func(err error) bool {
			if err != nil && (err.Error() == "" || strings.ContainsAny(err.Error(), "\r\n")) {
				t.Errorf("%q is not one line", err)
			}
			return err == nil
		}
		name := keys[0][int(key)%len(keys[0])].Name
		if b, err := Load(Sources{Set: []string{name + "=" + value}}); oneLine(err) {
			if len(b.DescribeBroker(DynamicValues{})) < 300 || len(b.Listeners) == 0 || len(b.LogDirs) == 0 {
				t.Errorf("%s=%q makes an empty node", name, value)
			}
			if _, err := b.Topic(nil); err != nil {
				t.Errorf("%s=%q makes a node whose topics have no configuration: %v", name, value, err)
			}
		}
		change := map[string]string{name: value}
		oneLine(plain.ValidateBroker(change, true))
		if oneLine(plain.ValidateBroker(change, false)) {
			if _, problems := plain.With(nil, change); problems != nil {
				t.Errorf("%s=%q is valid but not taken: %v", name, value, problems)
			}
		}
		topic := map[string]string{keys[1][int(key)%len(keys[1])].Name: value}
		if oneLine(plain.ValidateTopic(topic)) {
			plain.DescribeTopic(topic, DynamicValues{})
		}
		group := map[string]string{keys[2][int(key)%len(keys[2])].Name: value}
		if oneLine(plain.ValidateGroup(group)) {
			plain.DescribeGroup(group)
		}
	})
}
