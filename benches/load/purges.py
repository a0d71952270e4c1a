#!/usr/bin/env python3
"""How soon is a purge in force at every node of config/fleet?

Start the fleet first (`sh config/fleet/start.sh`), then: benches/load/purges.py [PURGES_A_SECOND] [SECONDS]
Each purge goes to the next of the three PoPs and waits until all have said that it is in force there. Prints a line of Markdown.
"""

import json
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

ADMINS = [f"http://127.0.0.1:{port}" for port in (9911, 9912, 9913)]
WAIT_MS = 5000
AT_ONCE = 64


def purge(number):
    """Milliseconds until every node had it, and the nodes that had not."""
    body = json.dumps({"tag": f"bench-{number}", "wait_ms": WAIT_MS}).encode()
    request = urllib.request.Request(f"{ADMINS[number % 3]}/purge", data=body, headers={"content-type": "application/json"})
    began = time.monotonic()
    with urllib.request.urlopen(request) as answer:
        done = json.load(answer)
    if len(done.get("seen", [])) + len(done.get("missing", [])) < len(ADMINS):
        sys.exit(f"this is not a fleet of three: {done}")
    return (time.monotonic() - began) * 1000, done.get("missing", [])


def main():
    rate, seconds = [int(text) for text in (sys.argv[1:] + ["100", "15"][len(sys.argv) - 1 :])]
    purge(0)
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = []
        for number in range(rate * seconds):
            time.sleep(max(0, began + number / rate - time.monotonic()))
            asked.append(pool.submit(purge, number))
        answers = [one.result() for one in asked]
    spent = time.monotonic() - began
    took = sorted(milliseconds for milliseconds, _ in answers)
    late = sum(1 for _, missing in answers if missing)
    at = lambda share: took[min(len(took) - 1, int(len(took) * share))]
    print("| purges | a second | p50 ms | p99 ms | most ms | not everywhere |\n|--:|--:|--:|--:|--:|--:|")
    print(f"| {len(took)} | {len(took) / spent:.0f} | {at(0.5):.1f} | {at(0.99):.1f} | {took[-1]:.1f} | {late} |")


if __name__ == "__main__":
    main()
