"""A copy of config/fleet under load: a hub, three leaves, an origin and three PoPs, started and ended together."""

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
ADMINS = {"fra": 9911, "nrt": 9912, "iad": 9913}
PATIENCE = 120


def ask(url, fields=None, body=None, timeout=60):
    """The answer's body; a proxy of the environment is not asked."""
    request = urllib.request.Request(url, data=body, headers=fields or {})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=timeout) as answer:
        return answer.read()


def admin(pop, path, body=None):
    """What the admin API of a PoP says: JSON in, JSON out."""
    data = None if body is None else json.dumps(body).encode()
    return json.loads(ask(f"http://127.0.0.1:{ADMINS[pop]}{path}", {"content-type": "application/json"}, data))


class Fleet:
    """The fleet with the site under load, running until the end of the block."""

    def __init__(self, binary):
        self.binary = binary
        self.key = secrets.token_hex(20)

    def __enter__(self):
        self.room = tempfile.TemporaryDirectory()
        self.place = pathlib.Path(self.room.name) / "fleet"
        shutil.copytree(ROOT / "config/fleet", self.place, symlinks=True, ignore=shutil.ignore_patterns("state", "keys"))
        site = (HERE / "site.toml").read_text().replace("KEY_SHA256", hashlib.sha256(self.key.encode()).hexdigest())
        (self.place / "site/site.toml").write_text(site)
        self.deploy_key = pathlib.Path(self.room.name) / "deploy.key"
        said = subprocess.run([self.binary, "deploy", "--new-key", self.deploy_key], capture_output=True, text=True, check=True).stdout
        trust = next(line for line in said.splitlines() if line.startswith("trust"))
        for pop in POPS:
            shutil.copy(HERE / "mark.js", self.place / pop / "mark.js")
            own = self.place / pop / "pop.toml"
            text = "".join(line for line in own.read_text().splitlines(True) if not line.startswith("trust"))
            # A line a request is not what is measured, and a thousand a second would fill the disk.
            own.write_text(text.replace("[fleet]\n", f"[fleet]\n{trust}\n") + "\n[observe]\naccess_log = false\n")
        self.log = open(pathlib.Path(self.room.name) / "log", "w+")
        self.parts = []
        self.start()
        for pop in POPS:
            self.ready(pop)
        return self

    def start(self, *parts):
        """Starts these parts, or all, in a session of their own, which ends with the block."""
        server = shutil.which("nats-server") or str(ROOT / "config/fleet/state/nats-server/bin/nats-server")
        have = {"NATS": server} if pathlib.Path(server).exists() else {}
        command = ["sh", str(self.place / "start.sh"), *parts]
        environment = {**have, **os.environ, "RIMWARD": str(self.binary)}
        self.parts.append(subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log, start_new_session=True))

    def ready(self, pop):
        """Returns when the PoP answers a request that runs a function."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return ask(f"http://127.0.0.1:{POPS[pop]}/hooks/ready", {"Host": "shop.example"}, timeout=5)
            except (urllib.error.URLError, OSError):
                if any(part.poll() is not None for part in self.parts[:1]) or time.monotonic() > until:
                    self.log.seek(0)
                    raise SystemExit(f"{pop} does not answer:\n{self.log.read()}")
                time.sleep(0.02)

    def __exit__(self, *_):
        # The whole session of each start.sh, which is nobody else's.
        for part in self.parts:
            try:
                os.killpg(part.pid, signal.SIGTERM)
                part.wait(30)
            except ProcessLookupError:
                pass
            except subprocess.TimeoutExpired:
                os.killpg(part.pid, signal.SIGKILL)
        self.log.close()
        self.room.cleanup()

    def processes(self):
        """The process of each PoP."""
        found = {}
        sessions = {part.pid for part in self.parts}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes().split(b"\0")
                ours = os.path.basename(line[0]).startswith(b"rimward") and os.getsid(int(process.name)) in sessions
                if ours and line[-2].decode() in POPS:
                    found[line[-2].decode()] = int(process.name)
            except (OSError, IndexError, UnicodeDecodeError):
                continue
        return found

    def cpu(self):
        """CPU seconds that each PoP used so far."""
        tick = os.sysconf("SC_CLK_TCK")
        used = {}
        for pop, process in self.processes().items():
            fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            used[pop] = (int(fields[11]) + int(fields[12])) / tick
        return used
