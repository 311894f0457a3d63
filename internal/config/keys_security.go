package config

// securityKeys: Security.
var securityKeys = []Key{
	key("authorizer.class.name", String, "",
		"Java class that authorizes requests. Ottla has no authorizer yet and refuses to start if one "+
			"is required; empty allows everything.",
		nonNull),
	key("principal.builder.class", Class, "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
		"Java class that names the user of a connection. Ottla uses the rules of Kafka's default class and "+
			"refuses others.",
		perBroker),
	key("security.providers", String, null,
		"Java classes that add cryptographic algorithms. Ottla refuses it."),
	key("delegation.token.secret.key", Password, null,
		"Secret from which delegation tokens are made, the same on all brokers; tokens are off without it. "+
			"Ottla has no tokens yet and refuses it."),
	key("delegation.token.max.lifetime.ms", Long, "604800000",
		"Maximum lifetime of a delegation token in milliseconds, including renewals.",
		atLeast(1)),
	key("delegation.token.expiry.time.ms", Long, "86400000",
		"Milliseconds that a delegation token is valid before it must be renewed.",
		atLeast(1)),
	key("delegation.token.expiry.check.interval.ms", Long, "3600000",
		"Milliseconds between two removals of expired delegation tokens.",
		atLeast(1)),
}
