"""confluent-kafka (librdkafka) as a member of a group of either protocol."""
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from group_lines import ADDR, MEMBER, line, places, stopped

config = {
    "bootstrap.servers": ADDR, "group.id": MEMBER["group"], "auto.offset.reset": "earliest", "enable.auto.commit": False,
    "fetch.wait.max.ms": 200, "group.protocol": MEMBER["protocol"], "reconnect.backoff.max.ms": 200, "log_level": 2,
}
if "instance" in MEMBER:
    config["group.instance.id"] = MEMBER["instance"]
if MEMBER["protocol"] == "classic":
    config |= {
        "session.timeout.ms": MEMBER["session"], "heartbeat.interval.ms": MEMBER["heartbeat"],
        "partition.assignment.strategy": MEMBER["assignor"],
    }
consumer = Consumer(config)
pending = {}
WAIT = (KafkaError.REBALANCE_IN_PROGRESS,)
FENCED = (KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_INSTANCE_ID)


def commit():
    """Commits the printed records. A commit that a rebalance delays is retried."""
    tries = 0
    while pending and tries < 20:
        tries += 1
        try:
            done = consumer.commit(offsets=[TopicPartition(t, p, o) for (t, p), o in pending.items()], asynchronous=False)
        except KafkaException as error:
            code = error.args[0].code()
            if code in WAIT:
                return
            if code in FENCED:
                break
            continue
        for p in done:
            if p.error is None:
                line("committed", -1, f"{p.topic}/{p.partition}", p.offset)
                pending.pop((p.topic, p.partition), None)
    if pending:
        line("failed", -1, "commit")
        pending.clear()


def assigned(_, partitions):
    line("assigned", -1, *places(partitions))


def revoked(_, partitions):
    commit()
    gone("lost" if pending else "revoked", partitions)


def lost(_, partitions):
    gone("lost", partitions)


def gone(kind, partitions):
    for p in partitions:
        pending.pop((p.topic, p.partition), None)
    line(kind, -1, *places(partitions))


topics = ["^" + MEMBER["pattern"]] if "pattern" in MEMBER else MEMBER["topics"]
consumer.subscribe(topics, on_assign=assigned, on_revoke=revoked, on_lost=lost)
while not stopped.is_set():
    for m in consumer.consume(500, 0.1):
        if m.error():
            continue  # the client tries again
        line("record", -1, f"{m.topic()}/{m.partition()}", m.offset(), m.value().decode())
        pending[m.topic(), m.partition()] = m.offset() + 1
    commit()
consumer.close()
line("left", -1)
