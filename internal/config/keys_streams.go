package config

// streamsKeys: Streams groups.
var streamsKeys = []Key{
	key("group.streams.session.timeout.ms", Int, "45000",
		"A member of a streams group that sends no heartbeat for this many milliseconds is removed, unless "+
			"the group has its own value.",
		atLeast(1)),
	key("group.streams.min.session.timeout.ms", Int, "45000",
		"Minimum value of streams.session.timeout.ms for a group.",
		atLeast(1)),
	key("group.streams.max.session.timeout.ms", Int, "60000",
		"Maximum value of streams.session.timeout.ms for a group.",
		atLeast(1)),
	key("group.streams.heartbeat.interval.ms", Int, "5000",
		"Milliseconds between two heartbeats of a member of a streams group, unless the "+
			"group has its own value.",
		atLeast(1)),
	key("group.streams.min.heartbeat.interval.ms", Int, "5000",
		"Minimum value of streams.heartbeat.interval.ms for a group.",
		atLeast(1)),
	key("group.streams.max.heartbeat.interval.ms", Int, "15000",
		"Maximum value of streams.heartbeat.interval.ms for a group.",
		atLeast(1)),
	key("group.streams.assignment.interval.ms", Int, "1000",
		"Minimum number of milliseconds between two computations of a streams group's assignment, unless the group has "+
			"its own value.",
		atLeast(0), clusterWide),
	key("group.streams.min.assignment.interval.ms", Int, "0",
		"Minimum value of streams.assignment.interval.ms for a group.",
		atLeast(0)),
	key("group.streams.max.assignment.interval.ms", Int, "15000",
		"Maximum value of streams.assignment.interval.ms for a group.",
		atLeast(0)),
	key("group.streams.initial.rebalance.delay.ms", Int, "3000",
		"How long, in milliseconds, the first assignment of a new streams group waits for more members, "+
			"unless the group has its own value.",
		atLeast(0)),
	key("group.streams.num.standby.replicas", Int, "0",
		"Standby copies of each stateful task, unless the group has its own value.",
		atLeast(0)),
	key("group.streams.max.standby.replicas", Int, "2",
		"Maximum value of streams.num.standby.replicas for a group.",
		atLeast(0)),
	key("group.streams.max.size", Int, "2147483647",
		"Maximum number of members of a streams group.",
		atLeast(1)),
}
