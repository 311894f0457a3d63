"""aiokafka: producer, consumer (assigned) and admin."""
import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from lines import headers_of, raw, record, serve

ADDR = sys.argv[1]
ACKS = {"0": 0, "1": 1, "all": "all"}


async def create(c):
    admin = AIOKafkaAdminClient(bootstrap_servers=ADDR)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(c["topic"], c["partitions"], 1, topic_configs=c["configs"] or {})])
        for error in answer.topic_errors:
            if error[1]:
                raise RuntimeError(str(error))
    finally:
        await admin.close()


async def produce(c):
    producer = AIOKafkaProducer(
        bootstrap_servers=ADDR, acks=ACKS[c["acks"]], enable_idempotence=c["idempotent"],
        compression_type=None if c["codec"] == "none" else c["codec"], max_request_size=2000000, linger_ms=5)
    await producer.start()
    try:
        futures = [
            await producer.send(
                c["topic"], raw(r["value"]), raw(r["key"]), c["partition"], r["timestamp"] or None, headers_of(r))
            for r in c["records"]
        ]
        done = await asyncio.gather(*futures)
        return {"offsets": [-1 if d is None or c["acks"] == "0" else d.offset for d in done]}
    finally:
        await producer.stop()


async def consume(c):
    consumer = AIOKafkaConsumer(bootstrap_servers=ADDR, max_partition_fetch_bytes=4 << 20)
    await consumer.start()
    try:
        partition = TopicPartition(c["topic"], c["partition"])
        consumer.assign([partition])
        offset = c["offset"]
        if c["timestamp"]:
            offset = (await consumer.offsets_for_times({partition: c["timestamp"]}))[partition].offset
        consumer.seek(partition, offset)
        records = []
        while len(records) < c["count"]:
            for m in (await consumer.getmany(partition, timeout_ms=1000)).get(partition, []):
                records.append(record(m.offset, m.timestamp, m.key, m.value, m.headers))
        return {"records": records[:c["count"]]}
    finally:
        await consumer.stop()


def sync(handler):
    return lambda c: asyncio.run(handler(c))


serve({"create": sync(create), "produce": sync(produce), "consume": sync(consume)})
