"""What changing a fleet costs: how soon a purge is in force everywhere, a deploy acknowledged, a node that was away up to date again.

Each function takes a running `Fleet` and returns figures; `run.py` draws them up.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from fleet import ADMINS, ask

CHANGES = ["purging", "deploying"]
WAIT_MS = 5000
AT_ONCE = 64
LINES = threading.local()


def purge(number, prefix, wait=True):
    """Milliseconds until every node had it (or until it was accepted), and the nodes that had not."""
    pop = list(ADMINS)[number % len(ADMINS)]
    lines = LINES.__dict__.setdefault("lines", {})
    line = lines.setdefault(pop, http.client.HTTPConnection("127.0.0.1", ADMINS[pop], timeout=60))
    body = {"tag": f"{prefix}-{number}", **({"wait_ms": WAIT_MS} if wait else {})}
    began = time.monotonic()
    line.request("POST", "/purge", json.dumps(body), {"content-type": "application/json"})
    answer = line.getresponse()
    said = answer.read()
    if answer.status != 200:
        raise SystemExit(f"a purge was refused: {answer.status} {said.decode()}")
    done = json.loads(said)
    if wait and len(done.get("seen", [])) + len(done.get("missing", [])) < len(ADMINS):
        raise SystemExit(f"this is not a fleet of three: {done}")
    return (time.monotonic() - began) * 1000, done.get("missing", [])


def at(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def purges(rate, seconds, prefix, stop=None):
    """Purges at a steady rate, each at the next PoP, each waited for: rate, percentiles, and how many were not everywhere in time."""
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = []
        for number in range(int(rate * seconds)):
            time.sleep(max(0, began + number / rate - time.monotonic()))
            if stop is not None and stop.is_set():
                break
            asked.append(pool.submit(purge, number, prefix))
        answers = [one.result() for one in asked]
    spent = time.monotonic() - began
    took = sorted(milliseconds for milliseconds, _ in answers)
    late = sum(1 for _, missing in answers if missing)
    return {"count": len(took), "rate": len(took) / spent, "p50": at(took, 0.5), "p99": at(took, 0.99), "most": took[-1], "late": late}


def deploys(fleet, count, first=0, pause=0.0, stop=None):
    """Revisions one after another, each waited for at all PoPs, `pause` seconds between two beginnings."""
    took = []
    for number in range(first, first + count):
        if stop is not None and stop.is_set():
            break
        began = time.monotonic()
        took.append(fleet.deploy(number))
        time.sleep(max(0, began + pause - time.monotonic()))
    ordered = sorted(took)
    return {"count": len(took), "p50": at(ordered, 0.5), "most": ordered[-1]}


@contextlib.contextmanager
def changing(fleet, what, round_number, purge_rate, seconds):
    """For the length of the block the fleet is purged, or deployed once a second, or left alone."""
    stop = threading.Event()
    work = {
        "quiet": lambda: None,
        "purging": lambda: purges(purge_rate, seconds + 30, f"while-{round_number}", stop),
        "deploying": lambda: deploys(fleet, seconds + 30, first=1000 * (round_number + 1), pause=1.0, stop=stop),
    }[what]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        try:
            yield
        finally:
            stop.set()
        running.result()


def position(pop):
    """The number of the bus's last purge that this PoP applied."""
    found = re.search(r"^rimward_purge_position (\d+)", ask(f"http://127.0.0.1:{ADMINS[pop]}/metrics").decode(), re.M)
    return int(found.group(1)) if found else 0


def replay(fleet, count):
    """Kills FRA, purges `count` times elsewhere, starts FRA: seconds from its start until it has applied them all."""
    pop = "fra"
    os.kill(fleet.processes()[pop], signal.SIGKILL)
    others = [number for number in range(count * len(ADMINS)) if number % len(ADMINS)][:count]
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda number: purge(number, "away", wait=False), others):
            pass
    accepted = count / (time.monotonic() - began)
    until = time.monotonic() + 120
    # The last ones are on their way from the outboxes to the bus.
    head = settled(until)
    began = time.monotonic()
    fleet.start(pop)
    reached = 0
    while reached < head and time.monotonic() < until:
        with contextlib.suppress(OSError):
            reached = position(pop)
        time.sleep(0.01)
    if reached < head:
        raise SystemExit(f"{pop} is at purge {reached} of {head} after two minutes")
    return {"count": count, "accepted": accepted, "seconds": time.monotonic() - began}


def settled(until):
    """The position at which the two PoPs that live agree for half a second."""
    before = None
    while time.monotonic() < until:
        now = {position(pop) for pop in list(ADMINS)[1:]}
        if len(now) == 1 and now == before:
            return now.pop()
        before = now
        time.sleep(0.5)
    raise SystemExit("the PoPs do not agree on the last purge")
