"""The protocol of interop/clients/process.go: one JSON command per input line,
one JSON answer per output line, until the input ends."""
import base64
import json
import sys
import traceback


def raw(s):
    return None if s is None else base64.b64decode(s)


def text(b):
    return None if b is None else base64.b64encode(b).decode()


def headers_of(record):
    return [(h["key"], raw(h["value"])) for h in record["headers"] or []]


def record(offset, timestamp, key, value, headers):
    return {
        "offset": offset, "timestamp": timestamp, "key": text(key), "value": text(value),
        "headers": [{"key": k, "value": text(v)} for k, v in headers or []],
    }


def until(wanted, ask):
    """Repeats a query until it has the wanted result: a broker shows a change
    shortly after the controller has accepted it. The test limits the wait."""
    while (answer := ask()) != wanted:
        pass
    return answer


def serve(handlers):
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = handlers[command["op"]](command) or {}
        except Exception as error:  # pylint: disable=broad-except
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
