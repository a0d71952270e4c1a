#!/usr/bin/env python3
"""Load on three PoPs: starts a copy of config/fleet, drives it with wrk and k6, purges and deploys meanwhile, writes a report with plots.

    cargo build --release && benches/load/run.py --out /tmp/load        # wrk on the path; k6: go install go.k6.io/k6@latest

Everything runs on this machine, load and origin too: numbers compare with each other, not with those of other machines.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

from changes import CHANGES, changing, deploys, purges, replay
from fleet import FIRST, HERE, POPS, ROOT, Fleet

SCENARIOS = ["hits", "misses", "hooks", "auth", "mixed"]
MEANS = {
    "hits": "1,000 objects by Zipf, all in memory",
    "misses": "every URL new: origin, store, answer",
    "hooks": "a JavaScript viewer-request function before each hit",
    "auth": "an API key before each hit",
    "mixed": "80 % hits, 5 % misses, 10 % hooks, 5 % auth",
}
OBSERVED = "nrt"
COLOURS = {"fra": "#0b62c4", "nrt": "#1a7440", "iad": "#b35a00"}


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


def k6(fleet, scenarios, seconds, rate, out, pops=POPS, first=False):
    """Each scenario at a fixed rate of arrivals; None without k6. `first`: it never waits for another process, which takes root."""
    found = shutil.which("k6") or shutil.which("k6", path=os.path.expanduser("~/go/bin"))
    if not found:
        return None
    summary = out / "k6.json"
    settings = {"POPS": ",".join(f"http://127.0.0.1:{POPS[pop]}" for pop in pops), "KEY": fleet.key, "RATE": rate, "SECONDS": seconds, "SCENARIOS": ",".join(scenarios)}
    command = [*([*FIRST, "1"] if first else []), found, "run", "--quiet", "--no-usage-report", "--summary-export", str(summary)]
    command += [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
    done = subprocess.run([*command, str(HERE / "k6.js")], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"k6 failed:\n{done.stdout}{done.stderr}")
    metrics = json.loads(summary.read_text())["metrics"]
    rows = {name: metrics[f"http_req_duration{{scenario:{name}}}"] for name in scenarios}
    checks = metrics["checks"]
    return {"rows": rows, "failed": checks["fails"], "passed": checks["passes"]}


def meanwhile(fleet, arguments):
    """Mixed traffic at a fixed rate at one PoP, with the fleet left alone, purged and deployed by turns: each turn's percentiles, in rounds.

    What is asked is whether a PoP's own work on changes is felt. So it has a core to itself, as on a machine of its own, and the load
    generator goes before the other PoPs, the bus and the commands on the rest.
    """
    turns = {what: [] for what in ["quiet", *CHANGES]}
    first = fleet.apart(OBSERVED)
    for number in range(arguments.rounds):
        for what in turns:
            with changing(fleet, what, number, arguments.purges, arguments.seconds):
                measured = k6(fleet, ["mixed"], arguments.seconds, arguments.rate, arguments.out, [OBSERVED], first)
            if measured is None:
                return None
            turns[what].append({**measured["rows"]["mixed"], "failed": measured["failed"]})
            print("meanwhile", number + 1, what, f"p99 {figure(turns[what][-1]['p(99)'])} ms", flush=True)
    return turns


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


def load_lines(results, arguments):
    yield "| scenario | PoP | requests/s | p50 ms | p90 ms | p99 ms | CPU µs a request | errors |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for scenario, pops in results.items():
        for pop, one in pops.items():
            numbers = [figure(one[field]) for field in ("rate", "p50_ms", "p90_ms", "p99_ms", "cpu_us")]
            yield f"| {scenario} | {pop.upper()} | {' | '.join(numbers)} | {one['errors']} |"
    yield ""
    yield from (f"- **{name}**: {means}" for name, means in MEANS.items() if name in results)
    yield from ("", "![requests](rate.svg)", "![p99](p99.svg)", "![CPU](cpu.svg)")


def k6_lines(measured, arguments):
    yield from ("", "## At a fixed rate (k6)", "")
    if measured is None:
        yield "Left out: there is no k6 on this machine (`go install go.k6.io/k6@latest`)."
        return
    yield f"{arguments.rate} arrivals a second over all PoPs; {measured['passed']} answered, {measured['failed']} not."
    yield from ("", "| scenario | p50 ms | p90 ms | p99 ms |", "|---|---:|---:|---:|")
    yield from (f"| {name} | {figure(row['med'])} | {figure(row['p(90)'])} | {figure(row['p(99)'])} |" for name, row in measured["rows"].items())


def change_lines(changes, arguments):
    purged, deployed, away, turns = (changes[name] for name in ("purges", "deploys", "replay", "meanwhile"))
    yield from ("", "## Changes", "", "| | target | measured |", "|---|--:|--:|")
    yield (f"| purge in force and acknowledged at all three, {figure(purged['rate'])} a second, {purged['count']} purges, {purged['late']} late |"
           f" p99 < 150 ms | p50 {figure(purged['p50'])}, p99 {figure(purged['p99'])}, most {figure(purged['most'])} ms |")
    yield (f"| deploy of a compiled function, acknowledged by all three, {deployed['count']} deploys, the command whole |"
           f" < 1,000 ms | p50 {figure(deployed['p50'])}, most {figure(deployed['most'])} ms |")
    yield (f"| {away['count']:,} purges that a killed PoP missed (accepted at {figure(away['accepted'])} a second), from its start to none missing |"
           f" < 10 s | {figure(away['seconds'])} s |")
    if turns is None:
        return
    yield from ("", f"Mixed traffic at {arguments.rate} arrivals a second at one PoP, which has a core of its own, {arguments.rounds} rounds of {arguments.seconds} s by turns;"
                f" purging: {arguments.purges} a second; deploying: once a second. Medians of the rounds; target: within 1.10.", "",
                "| meanwhile | p50 ms | p99 ms | p99 against quiet | not answered |", "|---|--:|--:|--:|--:|")
    quiet = statistics.median(one["p(99)"] for one in turns["quiet"])
    for what, rounds in turns.items():
        p50, p99 = (statistics.median(one[field] for one in rounds) for field in ("med", "p(99)"))
        yield f"| {what} | {figure(p50)} | {figure(p99)} | {p99 / quiet:.2f} | {sum(one['failed'] for one in rounds)} |"


def report(results, k6_result, changes, arguments, version):
    lines = ["# Load on three PoPs", "",
             f"{version}, {os.cpu_count()} cores, load, origin, bus and three PoPs on this machine; {arguments.connections} connections a PoP,"
             f" {arguments.seconds} s a scenario, the three PoPs at once.", ""]
    if results:
        lines += [*load_lines(results, arguments), *k6_lines(k6_result, arguments)]
    if changes:
        lines += change_lines(changes, arguments)
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rimward", type=pathlib.Path, default=ROOT / "target/release/rimward")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="directory of the report")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=int, default=300, help="k6: arrivals a second")
    parser.add_argument("--purges", type=int, default=100, help="purges a second, while the fleet is purged")
    parser.add_argument("--missed", type=int, default=100_000, help="purges that a killed PoP misses")
    parser.add_argument("--rounds", type=int, default=3, help="of traffic with and without changes")
    parser.add_argument("scenarios", nargs="*", default=[*SCENARIOS, "changes"], help=", ".join([*SCENARIOS, "changes"]))
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing: apt-get install wrk")
    if unknown := set(arguments.scenarios) - {*SCENARIOS, "changes"}:
        raise SystemExit(f"there is no scenario {', '.join(sorted(unknown))}: there are {', '.join(SCENARIOS)}, changes")
    scenarios = [name for name in SCENARIOS if name in arguments.scenarios]
    binary = arguments.rimward.resolve()
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results, k6_result, changes = {}, None, None
    with Fleet(binary) as fleet:
        for scenario in scenarios:
            # Once to fill the caches, once to measure.
            everywhere(fleet, scenario, 2, arguments.connections)
            results[scenario] = everywhere(fleet, scenario, arguments.seconds, arguments.connections)
            print(scenario, {pop: figure(one["rate"]) for pop, one in results[scenario].items()}, flush=True)
        if scenarios:
            k6_result = k6(fleet, scenarios, arguments.seconds, arguments.rate, arguments.out)
        if "changes" in arguments.scenarios:
            # The first ones open connections.
            purges(10, 1, "first")
            changes = {"purges": purges(arguments.purges, arguments.seconds, "timed"), "deploys": deploys(fleet, 10, first=1)}
            print("purges", changes["purges"], "deploys", changes["deploys"], flush=True)
            changes["meanwhile"] = meanwhile(fleet, arguments)
            changes["replay"] = replay(fleet, arguments.missed)
    plots = [("rate", "Requests a second", "1/s", "rate"), ("p99", "99th percentile", "ms", "p99_ms"), ("cpu", "CPU of the PoP a request", "µs", "cpu_us")]
    for name, title, unit, field in plots if results else []:
        (arguments.out / f"{name}.svg").write_text(bars(title, unit, results, lambda one, field=field: one[field]))
    (arguments.out / "report.md").write_text(report(results, k6_result, changes, arguments, version))
    print(arguments.out / "report.md")


if __name__ == "__main__":
    main()
