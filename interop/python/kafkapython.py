"""kafka-python: producer, consumer (assigned) and admin."""
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic

from lines import headers_of, raw, record, serve, until

ADDR = sys.argv[1]
ACKS = {"0": 0, "1": 1, "all": "all"}


def create(c):
    admin = KafkaAdminClient(bootstrap_servers=ADDR)
    try:
        admin.create_topics([NewTopic(c["topic"], c["partitions"], 1, topic_configs=c["configs"] or {})])
    finally:
        admin.close()


def produce(c):
    producer = KafkaProducer(
        bootstrap_servers=ADDR, acks=ACKS[c["acks"]], enable_idempotence=c["idempotent"],
        compression_type=None if c["codec"] == "none" else c["codec"], max_request_size=2000000, linger_ms=5)
    try:
        futures = [
            producer.send(c["topic"], raw(r["value"]), raw(r["key"]), headers_of(r), c["partition"], r["timestamp"] or None)
            for r in c["records"]
        ]
        producer.flush(60)
        done = [f.get(60) for f in futures]
        return {"offsets": [-1 if c["acks"] == "0" else d.offset for d in done]}
    finally:
        producer.close()


def consume(c):
    consumer = KafkaConsumer(bootstrap_servers=ADDR, max_partition_fetch_bytes=4 << 20)
    try:
        partition = TopicPartition(c["topic"], c["partition"])
        consumer.assign([partition])
        offset = c["offset"]
        if c["timestamp"]:
            offset = consumer.offsets_for_times({partition: c["timestamp"]})[partition].offset
        consumer.seek(partition, offset)
        records = []
        while len(records) < c["count"]:
            for m in consumer.poll(1000).get(partition, []):
                records.append(record(m.offset, m.timestamp, m.key, m.value, m.headers))
        return {"records": records[:c["count"]]}
    finally:
        consumer.close()


def admin_tour(c):
    topic = c["topic"]
    admin = KafkaAdminClient(bootstrap_servers=ADDR)
    consumer = KafkaConsumer(bootstrap_servers=ADDR)
    first = TopicPartition(topic, 0)

    def partitions():
        return len(admin.describe_topics([topic])[0]["partitions"])

    try:
        found = {
            "brokers": len(admin.describe_cluster()["brokers"]),
            "partitions": partitions(),
            "listed": topic in admin.list_topics(),
            "latest": consumer.end_offsets([first])[first],
        }
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "123456"})
        admin.alter_configs([resource])
        found["retention"] = until("123456", lambda: retention(admin, topic))
        admin.delete_records({first: 1})
        found["earliest"] = consumer.beginning_offsets([first])[first]
        admin.create_partitions({topic: NewPartitions(5)})
        found["grown"] = until(5, partitions)
        admin.delete_topics([topic])
        return {"result": found}
    finally:
        consumer.close()
        admin.close()


def retention(admin, topic):
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return found["topic"][topic]["retention.ms"]["value"]


serve({"admin": admin_tour, "create": create, "produce": produce, "consume": consume})
