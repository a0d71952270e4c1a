"""A copy of config/fleet under load: a hub, three leaves, an origin and three PoPs, started and ended together."""

import hashlib
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
POPS = {"fra": 8081, "nrt": 8082, "iad": 8083}
ADMINS = {"fra": 9911, "nrt": 9912, "iad": 9913}
PATIENCE = 120
# Before every process that shares its core.
FIRST = ["chrt", "--rr"]


def ask(url, timeout=60):
    """The answer's body; a proxy of the environment is not asked."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=timeout) as answer:
        return answer.read()


class Fleet:
    """The fleet with the site under load, running until the end of the block."""

    def __init__(self, binary):
        self.binary = binary
        self.key = secrets.token_hex(20)

    def __enter__(self):
        self.room = tempfile.TemporaryDirectory()
        self.place = pathlib.Path(self.room.name) / "fleet"
        shutil.copytree(ROOT / "config/fleet", self.place, symlinks=True, ignore=shutil.ignore_patterns("state", "keys"))
        # Another site is deployed than the demo's.
        (self.place / "state").mkdir()
        (self.place / "state/deployed").touch()
        for pop in POPS:
            own = self.place / pop / "pop.toml"
            # A line a request is not what is measured, and a thousand a second would fill the disk.
            own.write_text(own.read_text() + "\n[observe]\naccess_log = false\n")
        self.log = open(pathlib.Path(self.room.name) / "log", "w+")
        self.parts = []
        try:
            self.start()
            for pop in POPS:
                self.ready(pop)
            site = self.place / "deploy"
            site.mkdir()
            shutil.copy(HERE / "mark.js", site)
            self.deploy(0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, *parts):
        """Starts these parts, or all, in a session of their own, which ends with the block."""
        server = shutil.which("nats-server") or str(ROOT / "config/fleet/state/nats-server/bin/nats-server")
        have = {"NATS": server} if pathlib.Path(server).exists() else {}
        command = ["sh", str(self.place / "start.sh"), *parts]
        environment = {**have, **os.environ, "RIMWARD": str(self.binary)}
        self.parts.append(subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log, start_new_session=True))

    def deploy(self, number):
        """`rimward deploy --wait` of the site, with the same function and another header: milliseconds of the whole command."""
        site = (HERE / "site.toml").read_text().replace("KEY_SHA256", hashlib.sha256(self.key.encode()).hexdigest())
        (self.place / "deploy/site.toml").write_text(site + f'response = {{ set = {{ x-revision = "{number}" }} }}\n')
        admin = f"http://127.0.0.1:{ADMINS['fra']}"
        command = [self.binary, "deploy", self.place / "deploy", "--key", self.place / "keys/deploy.key", "--wait", "--admin", admin]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the deploy failed:\n{done.stdout}{done.stderr}")
        return (time.monotonic() - began) * 1000

    def ready(self, pop):
        """Returns when the PoP has reached the bus."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                if b"rimward_control_connected 1" in ask(f"http://127.0.0.1:{ADMINS[pop]}/metrics", timeout=5):
                    return
                raise OSError("no bus yet")
            except OSError:
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

    def all(self):
        """Every process of the fleet: its number and its command line."""
        sessions = {part.pid for part in self.parts}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.getsid(int(process.name)) in sessions:
                    yield int(process.name), (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue

    def processes(self):
        """The process of each PoP."""
        found = {}
        for process, line in self.all():
            if os.path.basename(line[0]) == os.fsencode(self.binary.name) and len(line) > 1 and line[-2].decode(errors="replace") in POPS:
                found[line[-2].decode()] = process
        return found

    def apart(self, pop):
        """Gives this PoP the first core, and everything else, this program too, the others, where the origin goes first.

        `False`: nothing was changed, for want of a second core or of root.
        """
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2 or os.geteuid():
            return False
        own = self.processes()[pop]
        for process in [os.getpid(), *(process for process, _ in self.all())]:
            mask = cores[:1] if process == own else cores[1:]
            # Threads too.
            subprocess.run(["taskset", "-acp", ",".join(map(str, mask)), str(process)], check=True, capture_output=True)
        origin = next(process for process, line in self.all() if any(word.endswith(b"origin.mjs") for word in line) and b"node" in line[0])
        subprocess.run([*FIRST, "-a", "-p", "1", str(origin)], check=True, capture_output=True)
        return True

    def cpu(self):
        """CPU seconds that each PoP used so far."""
        tick = os.sysconf("SC_CLK_TCK")
        used = {}
        for pop, process in self.processes().items():
            fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            used[pop] = (int(fields[11]) + int(fields[12])) / tick
        return used
