package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

const controllerMap = "\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,A:PLAINTEXT,B:PLAINTEXT,CONTROLLER:PLAINTEXT,CTL:PLAINTEXT"

func TestListeners(t *testing.T) {
	plain := func(name, host string, port int32) Listener {
		return Listener{Name: name, Protocol: "PLAINTEXT", Host: host, Port: port}
	}
	controller := func(name, host string, port int32) Listener {
		l := plain(name, host, port)
		l.Controller = true
		return l
	}
	for _, c := range []struct {
		name, file                         string
		listeners, advertised, controllers []Listener
		names                              []string
		between                            string
	}{
		{"any port", "listeners=PLAINTEXT://localhost:0",
			[]Listener{plain("PLAINTEXT", "localhost", 0)}, []Listener{plain("PLAINTEXT", "localhost", 0)}, nil, nil, "PLAINTEXT"},
		{"all interfaces", "listeners=PLAINTEXT://:9092",
			[]Listener{plain("PLAINTEXT", "", 9092)}, []Listener{plain("PLAINTEXT", "", 9092)}, nil, nil, "PLAINTEXT"},
		{"lower case", "listeners=plaintext://h:1,controller://:2",
			[]Listener{plain("PLAINTEXT", "h", 1), controller("CONTROLLER", "", 2)}, []Listener{plain("PLAINTEXT", "h", 1)}, nil, []string{"CONTROLLER"}, "PLAINTEXT"},
		{"CONTROLLER needs no saying", "listeners=PLAINTEXT://h:1,CONTROLLER://0.0.0.0:2",
			[]Listener{plain("PLAINTEXT", "h", 1), controller("CONTROLLER", "0.0.0.0", 2)}, []Listener{plain("PLAINTEXT", "h", 1)}, nil, []string{"CONTROLLER"}, "PLAINTEXT"},
		{"unless said otherwise", "listeners=PLAINTEXT://h:1,CONTROLLER://h:2,CTL://h:3\ncontroller.listener.names=ctl" + controllerMap,
			[]Listener{plain("PLAINTEXT", "h", 1), plain("CONTROLLER", "h", 2), controller("CTL", "h", 3)},
			[]Listener{plain("PLAINTEXT", "h", 1), plain("CONTROLLER", "h", 2)}, nil, []string{"CTL"}, "PLAINTEXT"},
		{"a controller's name is PLAINTEXT by default", "listeners=PLAINTEXT://h:1,CTL://h:3\ncontroller.listener.names=CTL",
			[]Listener{plain("PLAINTEXT", "h", 1), controller("CTL", "h", 3)}, []Listener{plain("PLAINTEXT", "h", 1)}, nil, []string{"CTL"}, "PLAINTEXT"},
		{"IPv4 and IPv6 share a port", "listeners=A://127.0.0.1:9,B://[::1]:9" + controllerMap,
			[]Listener{plain("A", "127.0.0.1", 9), plain("B", "::1", 9)}, []Listener{plain("A", "127.0.0.1", 9), plain("B", "::1", 9)}, nil, nil, "A"},
		{"several free ports", "listeners=A://h:0,B://h:0" + controllerMap,
			[]Listener{plain("A", "h", 0), plain("B", "h", 0)}, []Listener{plain("A", "h", 0), plain("B", "h", 0)}, nil, nil, "A"},
		{"advertised", "listeners=A://0.0.0.0:9,B://:8,CONTROLLER://:7\nadvertised.listeners=B://x:1,CONTROLLER://y:2,A://x:1\ninter.broker.listener.name=a" + controllerMap,
			[]Listener{plain("A", "0.0.0.0", 9), plain("B", "", 8), controller("CONTROLLER", "", 7)},
			[]Listener{plain("B", "x", 1), plain("A", "x", 1)}, []Listener{controller("CONTROLLER", "y", 2)}, []string{"CONTROLLER"}, "A"},
		{"only some are advertised", "listeners=PLAINTEXT://0.0.0.0:9,B://0.0.0.0:8\nadvertised.listeners=B://x:1" + controllerMap,
			[]Listener{plain("PLAINTEXT", "0.0.0.0", 9), plain("B", "0.0.0.0", 8)}, []Listener{plain("B", "x", 1)}, nil, nil, "B"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := mustLoad(t, c.file)
			got := []any{b.Listeners, b.Advertised, b.AdvertisedControllers, b.InterBrokerListener}
			want := []any{c.listeners, c.advertised, c.controllers, c.between}
			if !reflect.DeepEqual(got, want) || !slices.Equal(b.ControllerListenerNames, c.names) {
				t.Errorf("got  %+v %v\nwant %+v %v", got, b.ControllerListenerNames, want, c.names)
			}
		})
	}
}

func TestImpossibleListeners(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"listeners=localhost:9092", "Invalid value localhost:9092 for configuration listeners: Unable to parse localhost:9092 to a broker endpoint"},
		{"listeners=PLAINTEXT://localhost", "Invalid value PLAINTEXT://localhost for configuration listeners: Unable to parse PLAINTEXT://localhost to a broker endpoint"},
		{"listeners=://h:1", "Invalid value ://h:1 for configuration listeners: Unable to parse ://h:1 to a broker endpoint"},
		{"listeners=PLAINTEXT://a b:1", "Invalid value PLAINTEXT://a b:1 for configuration listeners: Unable to parse PLAINTEXT://a b:1 to a broker endpoint"},
		{"listeners=PLAINTEXT://h:99999", "Invalid value PLAINTEXT://h:99999 for configuration listeners: The port of PLAINTEXT://h:99999 must be a number from 0 to 65535"},
		{"listeners=PLAINTEXT://:x", "Invalid value PLAINTEXT://:x for configuration listeners: The port of PLAINTEXT://:x must be a number from 0 to 65535"},
		{"listeners=", "Configuration 'listeners' must not be empty. Valid values include: any non-empty value"},
		{"listeners=PLAINTEXT://h:1,PLAINTEXT://h:2", "Invalid value PLAINTEXT://h:1,PLAINTEXT://h:2 for configuration listeners: Each listener must have a different name, PLAINTEXT occurs twice"},
		{"listeners=A://h:1,B://g:1" + controllerMap, "Each listener must have a different port, A and B both have 1"},
		{"listeners=FOO://h:1", "No security protocol defined for listener FOO: add FOO:PLAINTEXT to listener.security.protocol.map"},
		{"listeners=PLAINTEXT://0.0.0.0:9092", "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."},
		{"listeners=PLAINTEXT://[::]:9092", "advertised.listeners cannot use the nonroutable meta-address ::. Use a routable IP address."},
		{"advertised.listeners=PLAINTEXT://0.0.0.0:9092", "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."},
		{"advertised.listeners=A://h:1" + controllerMap, "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. Found A. The valid options based on the current configuration are PLAINTEXT"},
		{"listeners=PLAINTEXT://h:1,CONTROLLER://h:2\nadvertised.listeners=CONTROLLER://h:2", "There must be at least one broker advertised listener. Perhaps all listeners appear in controller.listener.names?"},
		{"listeners=CONTROLLER://h:2", "There must be at least one broker advertised listener. Perhaps all listeners appear in controller.listener.names?"},
		{"controller.listener.names=CTL", "controller.listener.names must only contain values appearing in the 'listeners' configuration when running the KRaft controller role, but CTL does not"},
		{"listener.security.protocol.map=PLAINTEXT:FOO", "Invalid security protocol `FOO` defined in listener.security.protocol.map"},
		{"listener.security.protocol.map=PLAINTEXT", "Invalid value PLAINTEXT for configuration listener.security.protocol.map: PLAINTEXT is not of the form NAME:PROTOCOL"},
		{"listener.security.protocol.map=A:PLAINTEXT", "No security protocol defined for listener PLAINTEXT: add PLAINTEXT:PLAINTEXT to listener.security.protocol.map"},
		{"inter.broker.listener.name=X", "Listener with name X defined in inter.broker.listener.name not found in listener.security.protocol.map."},
		{"inter.broker.listener.name=SSL", "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are PLAINTEXT"},
		{"security.inter.broker.protocol=SSL", "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are PLAINTEXT"},
		{"inter.broker.listener.name=PLAINTEXT\nsecurity.inter.broker.protocol=PLAINTEXT", "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set."},
	} {
		_, err := Load(Sources{File: c.file})
		if err == nil {
			t.Errorf("%s is accepted", c.file)
			continue
		}
		if got := asError(t, err).Message; got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", strings.ReplaceAll(c.file, "\n", " "), got, c.want)
		}
	}
}

// TestNoProtocolIsGuessed: if any listener is called SSL, no listener uses
// PLAINTEXT by default.
func TestNoProtocolIsGuessed(t *testing.T) {
	_, err := Load(Sources{File: "listeners=SSL://h:1,CTL://h:2\ncontroller.listener.names=CTL"})
	if err == nil || !strings.HasPrefix(err.Error(), "listener SSL asks for SSL") {
		t.Errorf("got %v", err)
	}
	_, err = Load(Sources{File: "listeners=CTL://h:2,SSL://h:1\ncontroller.listener.names=CTL"})
	if err == nil || !strings.HasPrefix(err.Error(), "No security protocol defined for listener CTL") {
		t.Errorf("got %v", err)
	}
}
