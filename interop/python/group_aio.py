"""aiokafka as a member of a classic group."""
import asyncio

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, KafkaError

from group_lines import ADDR, MEMBER, line, places, stopped

pending = {}


async def commit(consumer):
    tries = 0
    while pending and tries < 10:
        tries += 1
        asked = dict(pending)
        try:
            await consumer.commit(asked)
        except CommitFailedError:
            break
        except KafkaError:
            await asyncio.sleep(0.1)
            continue
        for p, o in asked.items():
            line("committed", -1, f"{p.topic}/{p.partition}", o)
            if pending.get(p) == o:
                del pending[p]
    if pending:
        line("failed", -1, "commit")
        pending.clear()


class Listener(ConsumerRebalanceListener):
    def __init__(self, consumer, lock):
        self.consumer, self.lock, self.mine = consumer, lock, set()

    async def on_partitions_revoked(self, revoked):
        async with self.lock:
            await commit(self.consumer)
            self.mine = set()
            line("revoked", -1, *places(revoked))

    async def on_partitions_assigned(self, assigned):
        self.mine = set(assigned)
        line("assigned", -1, *places(assigned))


async def main():
    consumer = AIOKafkaConsumer(
        bootstrap_servers=ADDR, group_id=MEMBER["group"], auto_offset_reset="earliest", enable_auto_commit=False,
        session_timeout_ms=MEMBER["session"], heartbeat_interval_ms=MEMBER["heartbeat"], fetch_max_wait_ms=200,
        partition_assignment_strategy=[RangePartitionAssignor], group_instance_id=MEMBER.get("instance"))
    lock = asyncio.Lock()  # printing and committing against the rebalance
    listener = Listener(consumer, lock)
    consumer.subscribe(MEMBER["topics"], listener=listener)
    await consumer.start()
    while not stopped.is_set():
        got = await consumer.getmany(timeout_ms=100)
        async with lock:
            for partition, records in got.items():
                if partition not in listener.mine:
                    continue  # taken away while they waited
                for m in records:
                    line("record", -1, f"{m.topic}/{m.partition}", m.offset, m.value.decode())
                    pending[TopicPartition(m.topic, m.partition)] = m.offset + 1
            await commit(consumer)
    await consumer.stop()
    line("left", -1)


asyncio.run(main())
