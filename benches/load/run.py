#!/usr/bin/env python3
"""Load on three PoPs: starts a copy of config/fleet, drives it with wrk (and k6, when it is there), writes a report with plots.

    cargo build --release && benches/load/run.py --out /tmp/load        # wrk on the path; k6: go install go.k6.io/k6@latest

Everything runs on this machine, load and origin too: numbers compare with each other, not with those of other machines.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
POPS = {"fra": 8081, "nrt": 8082, "iad": 8083}
SCENARIOS = ["hits", "misses", "hooks", "auth", "mixed"]
MEANS = {
    "hits": "1,000 objects by Zipf, all in memory",
    "misses": "every URL new: origin, store, answer",
    "hooks": "a JavaScript viewer-request function before each hit",
    "auth": "an API key before each hit",
    "mixed": "80 % hits, 5 % misses, 10 % hooks, 5 % auth",
}
COLOURS = {"fra": "#0b62c4", "nrt": "#1a7440", "iad": "#b35a00"}
PATIENCE = 120


def get(url, fields=None):
    request = urllib.request.Request(url, headers=fields or {})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
        return answer.read()


class Fleet:
    """A copy of config/fleet with the site under load, running until the end of the block."""

    def __init__(self, binary):
        self.binary = binary
        self.key = secrets.token_hex(20)

    def __enter__(self):
        self.root = tempfile.TemporaryDirectory()
        place = pathlib.Path(self.root.name) / "fleet"
        skip = shutil.ignore_patterns("state", "keys")
        shutil.copytree(ROOT / "config/fleet", place, symlinks=True, ignore=skip)
        site = (HERE / "site.toml").read_text()
        (place / "site/site.toml").write_text(site.replace("KEY_SHA256", hashlib.sha256(self.key.encode()).hexdigest()))
        for pop in POPS:
            shutil.copy(HERE / "mark.js", place / pop / "mark.js")
            own = place / pop / "pop.toml"
            # A line a request is not what is measured, and a thousand a second would fill the disk.
            own.write_text(own.read_text() + "\n[observe]\naccess_log = false\n")
        server = shutil.which("nats-server") or str(ROOT / "config/fleet/state/nats-server/bin/nats-server")
        have = {"NATS": server} if pathlib.Path(server).exists() else {}
        self.log = open(pathlib.Path(self.root.name) / "log", "w+")
        self.process = subprocess.Popen(
            ["sh", str(place / "start.sh")], env={**os.environ, **have, "RIMWARD": str(self.binary)}, stdout=self.log, stderr=self.log,
            start_new_session=True)
        until = time.monotonic() + PATIENCE
        for pop, port in POPS.items():
            while True:
                try:
                    get(f"http://127.0.0.1:{port}/hooks/ready", {"Host": "shop.example"})
                    break
                except (urllib.error.URLError, OSError):
                    if self.process.poll() is not None or time.monotonic() > until:
                        self.log.seek(0)
                        raise SystemExit(f"{pop} does not answer:\n{self.log.read()}")
                    time.sleep(0.2)
        return self

    def __exit__(self, *_):
        # The whole session of start.sh, which is nobody else's.
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.log.close()
        self.root.cleanup()

    def cpu(self):
        """CPU seconds that each PoP used so far."""
        used = {}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes().split(b"\0")
                if os.path.basename(line[0]).startswith(b"rimward") and line[-2].decode() in POPS and os.getsid(int(process.name)) == self.process.pid:
                    fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
                    used[line[-2].decode()] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            except (OSError, IndexError, UnicodeDecodeError):
                continue
        return used


def wrk(pop, scenario, key, seconds, connections):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "wrk.lua"), f"http://127.0.0.1:{POPS[pop]}", "--", scenario,
               key, f"{pop}{time.time_ns()}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output.split("RESULT ", 1)[1])


def everywhere(fleet, scenario, seconds, connections):
    """One scenario on all PoPs at once."""
    before = fleet.cpu()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = {pop: pool.submit(wrk, pop, scenario, fleet.key, seconds, connections) for pop in POPS}
        results = {pop: future.result() for pop, future in asked.items()}
    after = fleet.cpu()
    for pop, result in results.items():
        result["rate"] = result["requests"] / result["seconds"]
        used = after.get(pop, 0) - before.get(pop, 0)
        result["cpu_us"] = used * 1e6 / max(result["requests"], 1)
    return results


def k6(fleet, seconds, rate, out):
    found = shutil.which("k6") or shutil.which("k6", path=os.path.expanduser("~/go/bin"))
    if not found:
        return None
    summary = out / "k6.json"
    pops = ",".join(f"http://127.0.0.1:{port}" for port in POPS.values())
    command = [found, "run", "--quiet", "--no-usage-report", "--summary-export", str(summary), "-e", f"POPS={pops}", "-e", f"KEY={fleet.key}", "-e",
               f"RATE={rate}", "-e", f"SECONDS={seconds}", str(HERE / "k6.js")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    metrics = json.loads(summary.read_text())["metrics"]
    rows = {name: metrics[f"http_req_duration{{scenario:{name}}}"] for name in SCENARIOS}
    return {"rows": rows, "failed": metrics["checks"]["fails"], "passed": metrics["checks"]["passes"]}


def bars(title, unit, results, value):
    """Grouped horizontal bars as SVG, readable in light and dark."""
    rows = [(scenario, pop, value(results[scenario][pop])) for scenario in results for pop in POPS]
    top = max((one for *_, one in rows), default=1) or 1
    height = 46 + len(rows) * 18 + len(results) * 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" font-family="sans-serif" font-size="12" role="img">',
        f"<title>{title}</title>",
        "<style>text{fill:#16202c}rect.back{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#e7ecf2}rect.back{fill:#171e27}}</style>",
        f'<rect class="back" width="720" height="{height}"/>', f'<text x="12" y="22" font-size="15" font-weight="bold">{title}, {unit}</text>']
    y = 42
    for at, (scenario, pop, number) in enumerate(rows):
        if at % len(POPS) == 0:
            parts.append(f'<text x="12" y="{y + 12}" font-weight="bold">{scenario}</text>')
        width = 470 * number / top
        parts.append(f'<text x="110" y="{y + 12}">{pop.upper()}</text><rect x="150" y="{y + 2}" width="{width:.1f}" height="13" fill="{COLOURS[pop]}"/>')
        parts.append(f'<text x="{155 + width:.1f}" y="{y + 12}">{figure(number)}</text>')
        y += 18 + (10 if at % len(POPS) == len(POPS) - 1 else 0)
    return "\n".join(parts) + "\n</svg>\n"


def figure(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def report(results, k6_result, arguments, version, cores):
    lines = [
        "# Load on three PoPs", "",
        f"{version}, {cores} cores, load, origin, bus and three PoPs on this machine; {arguments.connections} connections a PoP,"
        f" {arguments.seconds} s a scenario, the three PoPs at once.", "",
        "| scenario | PoP | requests/s | p50 ms | p90 ms | p99 ms | CPU µs a request | errors |", "|---|---|---:|---:|---:|---:|---:|---:|"]
    for scenario, pops in results.items():
        for pop, one in pops.items():
            lines.append(f"| {scenario} | {pop.upper()} | {figure(one['rate'])} | {figure(one['p50_ms'])} | {figure(one['p90_ms'])} |"
                         f" {figure(one['p99_ms'])} | {figure(one['cpu_us'])} | {one['errors']} |")
    lines += ["", *[f"- **{name}**: {means}" for name, means in MEANS.items() if name in results], "", "![requests](rate.svg)", "![p99](p99.svg)",
              "![CPU](cpu.svg)", "", "## At a fixed rate (k6)", ""]
    if k6_result is None:
        lines.append("Left out: there is no k6 on this machine (`go install go.k6.io/k6@latest`).")
    else:
        lines += [f"{arguments.rate} arrivals a second over all PoPs; {k6_result['passed']} answered, {k6_result['failed']} not.", "",
                  "| scenario | p50 ms | p90 ms | p99 ms |", "|---|---:|---:|---:|"]
        lines += [f"| {name} | {figure(row['med'])} | {figure(row['p(90)'])} | {figure(row['p(99)'])} |" for name, row in k6_result["rows"].items()]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rimward", type=pathlib.Path, default=ROOT / "target/release/rimward")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="directory of the report")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=int, default=500, help="k6: arrivals a second")
    parser.add_argument("scenarios", nargs="*", default=SCENARIOS, help=", ".join(SCENARIOS))
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing: apt-get install wrk")
    if unknown := set(arguments.scenarios) - set(SCENARIOS):
        raise SystemExit(f"there is no scenario {', '.join(sorted(unknown))}: there are {', '.join(SCENARIOS)}")
    binary = arguments.rimward.resolve()
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {}
    with Fleet(binary) as fleet:
        for scenario in arguments.scenarios:
            # Once to fill the caches, once to measure.
            everywhere(fleet, scenario, 2, arguments.connections)
            results[scenario] = everywhere(fleet, scenario, arguments.seconds, arguments.connections)
            print(scenario, {pop: figure(one["rate"]) for pop, one in results[scenario].items()}, flush=True)
        k6_result = k6(fleet, arguments.seconds, arguments.rate, arguments.out)
    plots = [("rate", "Requests a second", "1/s", "rate"), ("p99", "99th percentile", "ms", "p99_ms"), ("cpu", "CPU of the PoP a request", "µs", "cpu_us")]
    for name, title, unit, field in plots:
        (arguments.out / f"{name}.svg").write_text(bars(title, unit, results, lambda one, field=field: one[field]))
    (arguments.out / "report.md").write_text(report(results, k6_result, arguments, version, os.cpu_count()))
    print(arguments.out / "report.md")


if __name__ == "__main__":
    main()
