"""kafka-python as a member of a classic group."""
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import CommitFailedError, KafkaError
from kafka.structs import OffsetAndMetadata

from group_lines import ADDR, MEMBER, line, places, stopped

consumer = KafkaConsumer(
    bootstrap_servers=ADDR, group_id=MEMBER["group"], auto_offset_reset="earliest", enable_auto_commit=False,
    session_timeout_ms=MEMBER["session"], heartbeat_interval_ms=MEMBER["heartbeat"], fetch_max_wait_ms=200,
    partition_assignment_strategy=[RangePartitionAssignor], group_instance_id=MEMBER.get("instance"),
    reconnect_backoff_max_ms=200)
pending = {}


def commit():
    tries = 0
    while pending and tries < 10:
        tries += 1
        try:
            consumer.commit({p: OffsetAndMetadata(o, "", -1) for p, o in pending.items()})
        except CommitFailedError:
            break
        except KafkaError:
            continue
        for p, o in pending.items():
            line("committed", -1, f"{p.topic}/{p.partition}", o)
        pending.clear()
    if pending:
        line("failed", -1, "commit")
        pending.clear()


class Listener(ConsumerRebalanceListener):
    def on_partitions_assigned(self, assigned):
        line("assigned", -1, *places(assigned))

    def on_partitions_revoked(self, revoked):
        commit()
        line("revoked", -1, *places(revoked))

    def on_partitions_lost(self, lost):
        pending.clear()
        line("lost", -1, *places(lost))


consumer.subscribe(topics=MEMBER["topics"], listener=Listener())
while not stopped.is_set():
    for partition, records in consumer.poll(100).items():
        for m in records:
            line("record", -1, f"{m.topic}/{m.partition}", m.offset, m.value.decode())
            pending[TopicPartition(m.topic, m.partition)] = m.offset + 1
    commit()
consumer.close(autocommit=False)
line("left", -1)
