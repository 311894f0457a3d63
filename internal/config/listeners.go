package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// plaintext is the security protocol without security. It is the only supported
// one.
const plaintext = "PLAINTEXT"

var securityProtocols = []string{plaintext, "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

// parseListener parses NAME://host:port. Names are case-insensitive and stored
// in upper case. An IPv6 host may be in brackets.
func parseListener(entry string) (l Listener, why string) {
	name, address, ok := strings.Cut(entry, "://")
	host, port, split := splitHostPort(address)
	if !ok || !split && !strings.HasPrefix(address, ":") || name == "" {
		return l, "Unable to parse " + entry + " to a broker endpoint"
	}
	if !split {
		host, port = "", address[1:]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return l, "The port of " + entry + " must be a number from 0 to 65535"
	}
	return Listener{Name: strings.ToUpper(name), Host: host, Port: int32(n)}, ""
}

// splitHostPort splits at the last colon and removes brackets. ok is false if
// either half is missing or the host contains characters that are invalid in
// hosts.
func splitHostPort(address string) (host, port string, ok bool) {
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 {
		return "", "", false
	}
	host, port = address[:colon], address[colon+1:]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return host, port, host != "" && digits(port) && strings.Trim(host, hostCharacters) == ""
}

const hostCharacters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-%._:"

// parseVoters parses id@host:port entries.
func parseVoters(name string, entries []string) ([]Voter, string) {
	const form = "Each entry should be in the form `{id}@{host}:{port}`."
	var all []Voter
	for _, entry := range entries {
		id, address, ok := strings.Cut(entry, "@")
		if !ok || strings.Contains(address, "@") {
			return nil, "Invalid configuration value for " + name + ". " + form
		}
		n, err := strconv.ParseInt(id, 10, 32)
		if err != nil {
			return nil, "Failed to parse voter ID as an integer from " + id
		}
		host, port, ok := splitHostPort(address)
		p, err := strconv.ParseUint(port, 10, 16)
		if !ok || err != nil {
			return nil, "Failed to parse host name from entry " + entry + " for the configuration " + name + ". " + form
		}
		all = append(all, Voter{ID: int32(n), Host: host, Port: int32(p)})
	}
	return all, ""
}

// parseProtocols parses listener.security.protocol.map.
func parseProtocols(text string) (map[string]string, string) {
	protocols := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		colon := strings.LastIndexByte(pair, ':')
		if colon <= 0 {
			return nil, "Invalid value " + text + " for configuration listener.security.protocol.map: " +
				pair + " is not of the form NAME:PROTOCOL"
		}
		name, protocol := strings.TrimSpace(pair[:colon]), strings.TrimSpace(pair[colon+1:])
		if !slices.Contains(securityProtocols, protocol) {
			return nil, "Invalid security protocol `" + protocol + "` defined in listener.security.protocol.map"
		}
		protocols[strings.ToUpper(name)] = protocol
	}
	return protocols, ""
}

// endpoints is everything derived from the keys about listeners.
type endpoints struct {
	listeners, advertised, controllers []Listener
	controllerNames                    []string
	interBroker                        string
}

// resolveEndpoints reads the keys about listeners and checks them together, in
// these steps:
//
//  1. The names of the controller's listeners: controller.listener.names, or
//     else the listener called CONTROLLER.
//  2. The protocol of each name.
//  3. listeners, with distinct names and ports.
//  4. advertised.listeners, or else the listeners themselves.
//  5. The listener between brokers.
func resolveEndpoints(v *values, roles roles) (e endpoints, fail *Error) {
	entries := v.list("listeners")
	explicit := v.list("controller.listener.names")
	e.controllerNames = upper(explicit)
	if len(explicit) == 0 && slices.ContainsFunc(entries, isCalledController) {
		e.controllerNames = []string{"CONTROLLER"}
	}
	protocols, fail := v.protocols(entries, e.controllerNames)
	if fail != nil {
		return e, fail
	}
	if e.listeners, fail = v.listeners("listeners", entries, protocols, e.controllerNames); fail != nil {
		return e, fail
	}
	if fail := distinctPorts(e.listeners); fail != nil {
		return e, fail
	}
	if fail := controllersListed(e, roles); fail != nil {
		return e, fail
	}
	if fail := v.advertise(&e, protocols); fail != nil {
		return e, fail
	}
	if !roles.broker {
		return e, nil
	}
	if len(e.advertised) == 0 {
		return e, refusal("listeners", "There must be at least one broker advertised listener. "+
			"Perhaps all listeners appear in controller.listener.names?")
	}
	e.interBroker, fail = v.interBroker(e.advertised, protocols)
	return e, fail
}

func isCalledController(entry string) bool {
	name, _, _ := strings.Cut(entry, "://")
	return strings.EqualFold(name, "CONTROLLER")
}

func upper(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.ToUpper(name)
	}
	return out
}

func listenerNames(all []Listener) []string {
	names := make([]string, len(all))
	for i, l := range all {
		names[i] = l.Name
	}
	return names
}

// protocols is listener.security.protocol.map. If the key is not set, the
// controller's listeners use PLAINTEXT, unless the name of any listener is that
// of a secure protocol.
func (v *values) protocols(entries, controllerNames []string) (map[string]string, *Error) {
	protocols, why := parseProtocols(v.str("listener.security.protocol.map"))
	if why != "" {
		return nil, refusal("listener.security.protocol.map", why)
	}
	if v.isSet("listener.security.protocol.map") {
		return protocols, nil
	}
	names := slices.Clone(controllerNames)
	for _, entry := range entries {
		name, _, _ := strings.Cut(entry, "://")
		names = append(names, strings.ToUpper(name))
	}
	secured := func(name string) bool { return name != plaintext && slices.Contains(securityProtocols, name) }
	if !slices.ContainsFunc(names, secured) {
		for _, name := range controllerNames {
			protocols[name] = plaintext
		}
	}
	return protocols, nil
}

// listeners parses the entries of listeners or advertised.listeners.
func (v *values) listeners(key string, entries []string, protocols map[string]string, controllers []string) ([]Listener, *Error) {
	var all []Listener
	for _, entry := range entries {
		l, why := parseListener(entry)
		if why != "" {
			return nil, refusal(key, invalid(key, strings.Join(entries, ","), why))
		}
		protocol, ok := protocols[l.Name]
		switch {
		case !ok:
			return nil, refusal(key, "No security protocol defined for listener "+l.Name+
				": add "+l.Name+":PLAINTEXT to listener.security.protocol.map")
		case protocol != plaintext:
			return nil, refusal(key, "listener "+l.Name+" asks for "+protocol+
				", which Ottla does not serve yet; it does not start without the protection")
		case slices.Contains(listenerNames(all), l.Name):
			return nil, refusal(key, invalid(key, strings.Join(entries, ","),
				"Each listener must have a different name, "+l.Name+" occurs twice"))
		}
		l.Protocol, l.Controller = protocol, slices.Contains(controllers, l.Name)
		all = append(all, l)
	}
	return all, nil
}

// distinctPorts refuses two listeners on one port. It allows one IPv4 and one
// IPv6 address on the same port, and port 0, which is a different port each
// time.
func distinctPorts(all []Listener) *Error {
	for i, l := range all {
		for _, other := range all[:i] {
			if l.Port == other.Port && l.Port != 0 && !twins(l.Host, other.Host) {
				return refusal("listeners", "Each listener must have a different port, "+
					other.Name+" and "+l.Name+" both have "+strconv.Itoa(int(l.Port)))
			}
		}
	}
	return nil
}

// twins reports whether one host is an IPv4 and the other an IPv6 address.
func twins(a, b string) bool {
	x, err1 := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	return err1 == nil && err2 == nil && x.Is4() != y.Is4()
}

// controllersListed checks that a controller has its listeners bound.
func controllersListed(e endpoints, roles roles) *Error {
	if !roles.controller {
		return nil
	}
	names := listenerNames(e.listeners)
	for _, name := range e.controllerNames {
		if !slices.Contains(names, name) {
			return refusal("controller.listener.names", "controller.listener.names must only contain values "+
				"appearing in the 'listeners' configuration when running the KRaft controller role, but "+name+" does not")
		}
	}
	return nil
}

// advertise sets the addresses for clients and other nodes.
func (v *values) advertise(e *endpoints, protocols map[string]string) *Error {
	const key = "advertised.listeners"
	for _, l := range e.listeners {
		if !l.Controller {
			e.advertised = append(e.advertised, l)
		}
	}
	if v.isSet(key) && v.has(key) {
		all, fail := v.listeners(key, v.list(key), protocols, e.controllerNames)
		if fail != nil {
			return fail
		}
		e.advertised = nil
		bound := listenerNames(e.listeners)
		for _, l := range all {
			switch {
			case !slices.Contains(bound, l.Name):
				return refusal(key, "advertised.listeners listener names must be equal to or a subset of the ones defined in "+
					"listeners. Found "+l.Name+". The valid options based on the current configuration are "+strings.Join(bound, ","))
			case l.Controller:
				e.controllers = append(e.controllers, l)
			default:
				e.advertised = append(e.advertised, l)
			}
		}
	}
	for _, l := range slices.Concat(e.advertised, e.controllers) {
		if l.Host == "0.0.0.0" || l.Host == "::" {
			return refusal(key, "advertised.listeners cannot use the nonroutable meta-address "+l.Host+
				". Use a routable IP address.")
		}
	}
	return nil
}

// interBroker selects the listener between brokers. If neither key is set and
// no listener has the protocol's name, it is the first one.
func (v *values) interBroker(advertised []Listener, protocols map[string]string) (string, *Error) {
	const key, protocolKey = "inter.broker.listener.name", "security.inter.broker.protocol"
	names := listenerNames(advertised)
	name := v.str(protocolKey)
	switch {
	case v.has(key) && v.isSet(protocolKey):
		return "", refusal(key, "Only one of "+key+" and "+protocolKey+" should be set.")
	case v.has(key):
		name = strings.ToUpper(v.str(key))
		if _, ok := protocols[name]; !ok {
			return "", refusal(key, "Listener with name "+name+" defined in "+key+" not found in listener.security.protocol.map.")
		}
	case !v.isSet(protocolKey) && !slices.Contains(names, name):
		return names[0], nil
	}
	if !slices.Contains(names, name) {
		return "", refusal(key, key+" must be a listener name defined in advertised.listeners. "+
			"The valid options based on currently configured listeners are "+strings.Join(names, ","))
	}
	return name, nil
}
