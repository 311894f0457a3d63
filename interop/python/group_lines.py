"""The protocol of interop/groups/doc.go: the lines that a member of a group
prints. The member ends when its input ends."""
import json
import sys
import threading
import time

ADDR, MEMBER = sys.argv[1], json.loads(sys.argv[2])
stopped = threading.Event()


def _await_end():
    sys.stdin.read()
    stopped.set()


threading.Thread(target=_await_end, daemon=True).start()


def line(kind, gen, *rest):
    print(time.time_ns() // 1000, kind, gen, *rest, flush=True)


def places(partitions):
    return sorted(f"{p.topic}/{p.partition}" for p in partitions)
