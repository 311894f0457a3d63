package config

// streamsKeys: Streams groups.
var streamsKeys = []Key{
	key("group.streams.session.timeout.ms", Int, "45000",
		"A member of a streams group that sends no heartbeat for this many milliseconds is removed, unless "+
			"the group has its own value.",
		atLeast(1)),
	key("group.streams.min.session.timeout.ms", Int, "45000",
		"Smallest streams.session.timeout.ms that a group may be given.",
		atLeast(1)),
	key("group.streams.max.session.timeout.ms", Int, "60000",
		"Largest streams.session.timeout.ms that a group may be given.",
		atLeast(1)),
	key("group.streams.heartbeat.interval.ms", Int, "5000",
		"Milliseconds between two heartbeats that members of a streams group are told to send, unless the "+
			"group has its own value.",
		atLeast(1)),
	key("group.streams.min.heartbeat.interval.ms", Int, "5000",
		"Smallest streams.heartbeat.interval.ms that a group may be given.",
		atLeast(1)),
	key("group.streams.max.heartbeat.interval.ms", Int, "15000",
		"Largest streams.heartbeat.interval.ms that a group may be given.",
		atLeast(1)),
	key("group.streams.assignment.interval.ms", Int, "1000",
		"Least milliseconds between two computations of a streams group's assignment, unless the group has "+
			"its own value.",
		atLeast(0), clusterWide),
	key("group.streams.min.assignment.interval.ms", Int, "0",
		"Smallest streams.assignment.interval.ms that a group may be given.",
		atLeast(0)),
	key("group.streams.max.assignment.interval.ms", Int, "15000",
		"Largest streams.assignment.interval.ms that a group may be given.",
		atLeast(0)),
	key("group.streams.initial.rebalance.delay.ms", Int, "3000",
		"How long, in milliseconds, the first assignment of a new streams group waits for more members, "+
			"unless the group has its own value.",
		atLeast(0)),
	key("group.streams.num.standby.replicas", Int, "0",
		"Standby copies of each stateful task, unless the group has its own value.",
		atLeast(0)),
	key("group.streams.max.standby.replicas", Int, "2",
		"Largest streams.num.standby.replicas that a group may be given.",
		atLeast(0)),
	key("group.streams.max.size", Int, "2147483647",
		"Most members of a streams group.",
		atLeast(1)),
}
