"""confluent-kafka: librdkafka's producer, consumer (assigned) and admin."""
import sys

from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType)

from lines import headers_of, raw, record, serve, until

ADDR = sys.argv[1]
admin = AdminClient({"bootstrap.servers": ADDR})


def create(c):
    topic = NewTopic(c["topic"], num_partitions=c["partitions"], replication_factor=1, config=c["configs"] or {})
    for future in admin.create_topics([topic]).values():
        future.result()


def produce(c):
    producer = Producer({
        "bootstrap.servers": ADDR, "acks": c["acks"], "compression.type": c["codec"],
        "enable.idempotence": c["idempotent"], "message.max.bytes": 2000000, "linger.ms": 5,
    })
    offsets, errors = [], []

    def delivered(error, message):
        if error:
            errors.append(str(error))
        offsets.append(-1 if c["acks"] == "0" or error else message.offset())

    for r in c["records"]:
        producer.produce(
            c["topic"], raw(r["value"]), raw(r["key"]), partition=c["partition"], on_delivery=delivered,
            timestamp=r["timestamp"], headers=headers_of(r))
    left = producer.flush(60)
    if errors or left:
        raise RuntimeError(f"{left} not delivered, {errors[:3]}")
    return {"offsets": offsets}


def consume(c):
    consumer = Consumer({
        "bootstrap.servers": ADDR, "group.id": "unused", "enable.auto.commit": False, "enable.auto.offset.store": False,
        "auto.offset.reset": "error", "fetch.message.max.bytes": 4 << 20,
    })
    try:
        at = TopicPartition(c["topic"], c["partition"], c["offset"])
        if c["timestamp"]:
            at = consumer.offsets_for_times([TopicPartition(c["topic"], c["partition"], c["timestamp"])], 30)[0]
            assert at.offset != OFFSET_END
        consumer.assign([at])
        records = []
        while len(records) < c["count"]:
            for m in consumer.consume(c["count"] - len(records), 10):
                if m.error():
                    raise RuntimeError(str(m.error()))
                records.append(record(m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers()))
        return {"records": records}
    finally:
        consumer.close()


def admin_tour(c):
    topic = c["topic"]
    first = TopicPartition(topic, 0)

    def result(futures):
        return next(iter(futures.values())).result()

    def offset(spec):
        return result(admin.list_offsets({first: spec})).offset

    def partitions():
        return len(admin.list_topics(topic, timeout=30).topics[topic].partitions)

    def retention():
        resource = ConfigResource(ResourceType.TOPIC, topic)
        return result(admin.describe_configs([resource]))["retention.ms"].value

    found = {
        "brokers": len(admin.describe_cluster().result().nodes),
        "partitions": partitions(),
        "listed": topic in admin.list_topics(timeout=30).topics,
        "latest": offset(OffsetSpec.latest()),
    }
    entry = ConfigEntry("retention.ms", "123456", incremental_operation=AlterConfigOpType.SET)
    result(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]))
    found["retention"] = until("123456", retention)
    result(admin.delete_records([TopicPartition(topic, 0, 1)]))
    found["earliest"] = offset(OffsetSpec.earliest())
    result(admin.create_partitions([NewPartitions(topic, 5)]))
    found["grown"] = until(5, partitions)
    result(admin.delete_topics([topic]))
    return {"result": found}


serve({"admin": admin_tour, "create": create, "produce": produce, "consume": consume})
