"""Are limits exact under load? Eight clients, each with a connection of its own, ask as fast as they can until the time is over, and
take every answer that they asked for. What they were answered must be what the PoP counted, status by status, and what was let in must
be what the bucket's or the quota's arithmetic gives, to the request.

    limits.py HOST:PORT ADMIN_HOST:PORT SECONDS KEY
"""

import json
import math
import multiprocessing
import re
import socket
import sys
import time
import urllib.request

CLIENTS = 8
QUOTA = 20_000


def client(address, path, key, until, results):
    """Counts by status; when the first let in was answered and the last refused was asked; when it all began and ended."""
    request = f"GET {path} HTTP/1.1\r\nHost: limits.example\r\nX-Api-Key: {key}\r\n\r\n".encode()
    length_of = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
    connection = socket.create_connection(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    counts, admitted, refused, rest = {}, None, None, b""
    begun = time.monotonic()
    while (sent := time.monotonic()) < until:
        connection.sendall(request)
        while (end := rest.find(b"\r\n\r\n")) < 0:
            rest += more(connection)
        whole = end + 4 + int(length_of.search(rest[: end + 2]).group(1))
        while len(rest) < whole:
            rest += more(connection)
        status, rest = int(rest[9:12]), rest[whole:]
        counts[status] = counts.get(status, 0) + 1
        if status == 429:
            refused = sent
        elif admitted is None:
            admitted = time.monotonic()
    results.put((counts, begun, admitted, refused, time.monotonic()))


def more(connection):
    read = connection.recv(65536)
    if not read:
        raise ConnectionError("the PoP closed a connection")
    return read


def load(address, path, key, seconds):
    results = multiprocessing.Queue()
    until = time.monotonic() + seconds
    clients = [multiprocessing.Process(target=client, args=(address, path, key, until, results)) for _ in range(CLIENTS)]
    for one in clients:
        one.start()
    got = [results.get() for _ in clients]
    for one in clients:
        one.join()
    counts = {}
    for own, *_ in got:
        for status, count in own.items():
            counts[status] = counts.get(status, 0) + count
    _, begun, admitted, refused, ended = zip(*got)
    return counts, min(begun), min(filter(None, admitted)), max(filter(None, refused), default=None), max(ended)


def counted(admin, behavior):
    """What the PoP counted, by class of status."""
    text = urllib.request.urlopen(f"http://{admin}/metrics").read().decode()
    classes = {}
    for labels, count in re.findall(r"^rimward_requests_total\{([^}]*)\} (\S+)$", text, re.M):
        if f'behavior="{behavior}"' in labels:
            kind = re.search(r'status_class="(\dxx)"', labels).group(1)
            classes[kind] = classes.get(kind, 0) + int(float(count))
    return classes


def settled(admin, behavior, answered):
    """The counts, once they are all there: they are written after the answer has left."""
    until = time.monotonic() + 10
    while (now := counted(admin, behavior)) != answered and time.monotonic() < until:
        time.sleep(0.1)
    return now


def main():
    edge, admin, seconds, key = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
    host, port = edge.split(":")
    wrong = False

    def say(name, good, words):
        nonlocal wrong
        wrong |= not good
        print(f"{'exact' if good else 'WRONG'}  {name:<8} {words}", flush=True)

    for name, rate, burst in [("still", 1 / 3600, 50_000), ("filling", 1000, 1000), ("quota", 0, QUOTA)]:
        counts, begun, first, refused, ended = load((host, int(port)), f"/{name}", key, seconds)
        let_in, asked = counts.get(200, 0), sum(counts.values())
        here = {kind: count for kind, count in [("2xx", let_in), ("4xx", counts.get(429, 0))] if count}
        say(name, sum(here.values()) == asked, f"{asked} answers in {ended - begun:.1f} s: {counts}")
        there = settled(admin, f"/{name}", here)
        say(name, here == there, f"the PoP counted {there}")
        if refused is None:
            say(name, False, "nobody was refused: more load, or a smaller bucket")
            continue
        # The bucket was full at the first request and empty at the last refusal: what was let in between is the burst and what dripped in.
        # Both moments of the PoP lie between an asking and an answer; what drips in after the last refusal may be let in as well.
        least, most = math.ceil(burst + rate * (refused - first) - 1), math.floor(burst + rate * (ended - begun))
        least = max(least, burst)
        say(name, least <= let_in <= most, f"{let_in} let in; by arithmetic {least} to {most}")
    usage = json.load(urllib.request.urlopen(f"http://{admin}/keys/client/usage"))
    used = sum(day["used"] for plan in usage["plans"] for day in plan["days"])
    say("quota", used == QUOTA, f"{used} used by the ledger")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
