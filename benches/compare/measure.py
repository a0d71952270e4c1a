#!/usr/bin/env python3
"""Measures several proxies side by side and writes one Markdown table a scenario.

Rounds are interleaved, so that a noisy minute hits everybody. CPU is user + system time of the whole process tree over
finished requests: it holds when absolute throughput does not. Scenarios:
  hit1k hit10k hit1m  cache hits, HTTP/1.1 keep-alive      zipf       hits on 100,000 objects of 1 KiB, popularity 1/rank
  pass1k              pass-through, nothing stored         tlsh1 tlsh2  hits over TLS, HTTP/1.1 and HTTP/2
  handshake           one TLS connection a request         mem        memory for 100,000 objects of 1 KiB
  hooks access        what functions, and rules, add to a hit of ours
"""

import argparse
import datetime
import hashlib
import hmac
import os
import platform
import re
import statistics
import subprocess
import sys
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
RUN = os.environ.get("RUN", "/tmp/rimward-compare")
LOAD_CORE = os.environ.get("LOAD_CORE", "1")
TICK = os.sysconf("SC_CLK_TCK")
KEYS = 100_000
BASE = "nginx-tuned"


def targets(names):
    rows = {}
    with open(f"{HERE}/targets.tsv") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                name, cached, passing, tls, processes = line.rstrip("\n").split("\t")
                rows[name] = dict(name=name, cached=f"http://127.0.0.1:{cached}", passing=passing, tls=f"https://localhost:{tls}", processes=processes.split(","))
    return [rows[name] for name in names]


def stay_awake():
    """Has idle cores poll until this process ends. Waking the load's core is otherwise charged to the proxy that wakes it, and the slower
    a proxy, the more often the load sleeps. Kept open: closing the file ends it."""
    file = os.open("/dev/cpu_dma_latency", os.O_WRONLY)
    os.write(file, (0).to_bytes(4, "little"))


def tree(target):
    """Every process of a target, children included."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                children.setdefault(int(file.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
        except OSError:
            pass
    queue = [int(open(f"{RUN}/{name}.pid").read()) for name in target["processes"]]
    found = []
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def cpu_seconds(pids):
    """User and system seconds so far."""
    user = system = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            user += int(fields[11])
            system += int(fields[12])
        except OSError:
            pass
    return user / TICK, system / TICK


def memory_kib(pids):
    """Proportional share of resident memory."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return total


def output(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def wrk(url, seconds, connections, script=(), header=()):
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", f"{HERE}/report.lua"]
    for line in header:
        command += ["-H", line]
    said = output(command + [url] + (["--", *script] if script else []))
    found = re.search(r"RESULT (.*)", said)
    if not found:
        raise RuntimeError(f"wrk: {said[-400:]}")
    result = {key: int(value) for key, value in (pair.split("=") for pair in found[1].split())}
    return dict(requests=result["requests"], rate=result["requests"] / (result["duration_us"] / 1e6), p50=result["p50"], p99=result["p99"], errors=result["errors"])


def h2load(url, seconds, connections, streams):
    log = f"{RUN}/h2load.log"
    if os.path.exists(log):
        os.remove(log)
    command = ["timeout", str(seconds + 10), "taskset", "-c", LOAD_CORE, "h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}"]
    said = output(command + [f"--log-file={log}", url])
    rate = re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", said)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", said)
    if not rate or not counts:
        raise RuntimeError(f"h2load: {said[-400:]}")
    with open(log) as file:
        micros = sorted(int(line.split()[2]) for line in file) or [0]
    return dict(
        requests=int(counts[1]),
        rate=float(rate[1]),
        p50=micros[len(micros) // 2],
        p99=micros[len(micros) * 99 // 100],
        errors=int(counts[2]) + int(counts[3]),
    )


def load(target, scenario, seconds):
    cached, tls = target["cached"], target["tls"]
    if scenario in ("hit1k", "hit10k"):
        return wrk(f"{cached}/{scenario[3:]}/a{target.get('query', '')}", seconds, 50, header=target.get("header", ()))
    if scenario == "hit1m":
        return wrk(f"{cached}/1m/a", seconds, 16)
    if scenario == "pass1k":
        return wrk(f"{target['passing']}/1k/a", seconds, 50)
    if scenario == "zipf":
        return wrk(cached, seconds, 50, ["keys", str(KEYS), "zipf"])
    if scenario == "tlsh1":
        return wrk(f"{tls}/1k/a", seconds, 50)
    if scenario == "tlsh2":
        return h2load(f"{tls}/1k/a", seconds, 10, 10)
    if scenario == "handshake":
        return wrk(f"{tls}/1k/a", seconds, 10, header=["Connection: close"])
    sys.exit(f"unknown scenario: {scenario}")


def fill(target):
    """Asks for every key once; returns when all of them were."""
    seconds = 5
    while wrk(target["cached"], seconds, 20, ["keys", str(KEYS), "seq"])["requests"] < KEYS:
        seconds *= 2


def prime(target, scenario):
    path = {"hit10k": "/10k/a", "hit1m": "/1m/a"}.get(scenario, "/1k/a")
    base = {"pass1k": target["passing"], "tlsh1": target["tls"], "tlsh2": target["tls"], "handshake": target["tls"]}.get(scenario, target["cached"])
    for _ in range(3):
        fields = [word for line in target.get("header", ()) for word in ("-H", line)]
        output(["curl", "-sk", "-o", "/dev/null", *fields, base + path + target.get("query", "")])
    if scenario == "zipf":
        fill(target)


def measure(target, scenario, seconds):
    pids = tree(target)
    user, system = cpu_seconds(pids)
    result = load(target, scenario, seconds)
    user_after, system_after = cpu_seconds(pids)
    done = max(result["requests"], 1)
    result.update(user=(user_after - user) * 1e6 / done, system=(system_after - system) * 1e6 / done)
    result["cpu"] = result["user"] + result["system"]
    return result


# What a hit costs with a function: rows of one table, all of the same proxy.
HOOKS = {
    "no function": "",
    "no function, full path": "/full",
    "native": "/native",
    "native, reused": "/native-reused",
    "JavaScript": "/script",
    "JavaScript, reused": "/script-reused",
}


def hooks(target, rounds, seconds):
    rows = [dict(target, name=name, cached=target["cached"] + path) for name, path in HOOKS.items()]
    return compare(rows, "hit1k", rounds, seconds).replace("### hit1k", f"### hooks: a hit of 1 KiB through {target['name']}")


def presigned(host, path, secret):
    """The query that signs a GET for a week (AWS Signature Version 4)."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/eu-central-1/execute-api/aws4_request"
    query = "&".join(
        f"{name}={urllib.parse.quote(value, safe='')}"
        for name, value in (
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"AKIDBENCH/{scope}"),
            ("X-Amz-Date", now),
            ("X-Amz-Expires", "604800"),
            ("X-Amz-SignedHeaders", "host"),
        )
    )
    request = f"GET\n{path}\n{query}\nhost:{host}\n\nhost\n{hashlib.sha256(b'').hexdigest()}"
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    return f"?{query}&X-Amz-Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"


def access(target, rounds, seconds):
    """What a hit costs with a rule: rows of one table, all of the same proxy."""
    read = lambda name: open(f"{RUN}/{name}").read()
    host = target["cached"].split("//")[1]
    rows = [
        dict(target, name="no rule"),
        dict(target, name="limit per address", cached=target["cached"] + "/limit"),
        dict(target, name="API key and plan", cached=target["cached"] + "/key", header=["x-api-key: benchkey0123456789abcdef"]),
        dict(target, name="token seen before", cached=target["cached"] + "/token", header=[f"authorization: Bearer {read('token')}"]),
        dict(target, name="SigV4, presigned", cached=target["cached"] + "/signature", query=presigned(host, "/signature/1k/a", read("aws-secret"))),
    ]
    return compare(rows, "hit1k", rounds, seconds).replace("### hit1k", f"### access: a hit of 1 KiB through {target['name']}")


def table(scenario, results):
    middle = lambda name, key: statistics.median(round_[key] for round_ in results[name])
    base = BASE if BASE in results else next(iter(results))
    lines = [f"\n### {scenario}\n", f"| proxy | CPU µs/request (min–max) | of {base} | user | system | requests/s | p50 µs | p99 µs | errors |", "|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for name in sorted(results, key=lambda name: middle(name, "cpu")):
        costs = [round_["cpu"] for round_ in results[name]]
        lines.append(
            f"| {name} | {middle(name, 'cpu'):.2f} ({min(costs):.2f}–{max(costs):.2f}) | {middle(name, 'cpu') / max(middle(base, 'cpu'), 0.01):.2f} | {middle(name, 'user'):.2f} | {middle(name, 'system'):.2f} "
            f"| {middle(name, 'rate'):.0f} | {middle(name, 'p50'):.0f} | {middle(name, 'p99'):.0f} | {sum(round_['errors'] for round_ in results[name])} |"
        )
    return "\n".join(lines)


def memory_table(chosen):
    lines = ["\n### mem\n", f"| proxy | before KiB | with {KEYS} objects of 1 KiB | bytes an object |", "|---|--:|--:|--:|"]
    for target in chosen:
        before = memory_kib(tree(target))
        fill(target)
        after = memory_kib(tree(target))
        lines.append(f"| {target['name']} | {before} | {after} | {(after - before) * 1024 / KEYS:.0f} |")
    return "\n".join(lines) + "\n\nProportional share of resident memory. nginx and Traffic Server keep bodies in files too: their page cache is not in these figures; HAProxy allocates its cache at its start."


def compare(chosen, scenario, rounds, seconds):
    results, left_out = {}, []
    for target in chosen:
        try:
            prime(target, scenario)
            load(target, scenario, 1)
            results[target["name"]] = []
        except RuntimeError as error:
            left_out.append(f"\n{target['name']} was left out: {error}")
    measured = [target for target in chosen if target["name"] in results]
    for round_ in range(rounds):
        turn = round_ % len(measured)
        for target in measured[turn:] + measured[:turn]:
            results[target["name"]].append(measure(target, scenario, seconds))
    return table(scenario, results) + "".join(left_out)


def versions(chosen):
    """The machine, and what each measured program calls itself."""
    said = []
    asked = dict(nginx=["nginx", "-v"], varnish=["varnishd", "-V"], hitch=["hitch", "--version"], haproxy=["haproxy", "-v"], trafficserver=["traffic_server", "-V"])
    for name in dict.fromkeys(name for target in chosen for name in target["processes"]):
        if name in asked:
            said.append(output(asked[name]).splitlines()[0].strip())
        elif name == "envoy":
            found = re.search(r"/(\d+\.\d+\.\d+)/", output([os.environ.get("ENVOY", "envoy"), "--version"]))
            said.append(f"envoy {found[1] if found else ''}")
    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    machine = f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    commit = output(["git", "-C", HERE, "rev-parse", "--short", "HEAD"]).strip()
    return machine, [f"rimward {commit}", *said, output(["wrk", "-v"]).split(" [")[0].strip(), output(["h2load", "--version"]).strip()]


def save(out, parts):
    if out:
        with open(out, "w") as file:
            file.write("\n".join(parts) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--scenarios", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--out")
    parser.add_argument("--awake", action="store_true", help="have idle cores poll; needs root")
    asked = parser.parse_args()
    if asked.awake:
        stay_awake()
    chosen = targets(asked.targets)
    machine, said = versions(chosen)
    parts = [
        "# Measured side by side\n\nWritten by `benches/compare/run.sh`, which also repeats it (its head says how); do not edit.\n",
        f"- {datetime.date.today()}, {machine}\n- {'; '.join(said)}\n"
        f"- Every proxy on one core, load and origin on another; medians of {asked.rounds} interleaved rounds of {asked.seconds} s, "
        "lowest and highest round in parentheses.\n"
        "- Rimward writes its JSON access log to a file and counts its metrics; the others run without a log. All have one worker.\n"
        f"- Load average when the run began: {os.getloadavg()[0]:.1f}; above 1, others used the cores too.\n"
        "- CPU is user and system time of all processes of a proxy, threads that write logs included, over finished requests. It and "
        f"its ratio to {BASE} (sendfile and tcp_nopush off; the same server as nginx for pass-through and TLS) hold on a busy machine; "
        "requests a second and latencies under full load do so less."
        + ("\n- Idle cores polled (`AWAKE=1`): waking the load, which a slower proxy has to do more often, is not in these figures." if asked.awake else ""),
    ]
    scenarios = asked.scenarios.split(",")
    # Memory first: nothing else has filled the caches yet.
    if "mem" in scenarios:
        scenarios.remove("mem")
        parts.append(memory_table(chosen))
        print(parts[-1], flush=True)
    for scenario in scenarios:
        if scenario in ("hooks", "access"):
            ours = [target for target in chosen if target["name"] == "rimward"]
            rows = hooks if scenario == "hooks" else access
            parts += [rows(target, asked.rounds, asked.seconds) for target in ours]
            print(parts[-1], flush=True)
            save(asked.out, parts)
            continue
        parts.append(compare(chosen, scenario, asked.rounds, asked.seconds))
        print(parts[-1], flush=True)
        save(asked.out, parts)


if __name__ == "__main__":
    main()
