"""Puts the host's clock, randomness, log and environment where Python code looks for them.

The component has no WASI: what would ask an operating system traps. So `install` replaces these before the function's file is
imported, which happens once, when the component is built; `begin` and `end` enclose each call. While it is built there is no host,
and the machine's own are used.
"""

import os
import sys

from wit_world.imports import clock, config, crypto, log

live = False


def install():
    _clock()
    _randomness()
    _log()
    _files()
    for name in PRELOADED:
        __import__(name)


# Imported when the component is built: afterwards there are no files to import from.
PRELOADED = (
    "base64 binascii bisect calendar collections copy dataclasses datetime decimal difflib email.utils enum fnmatch functools "
    "hashlib heapq hmac html html.parser http http.cookies io ipaddress itertools json logging math operator os.path random re "
    "secrets string struct textwrap time traceback types typing unicodedata urllib.parse uuid zlib rimward"
).split()


def _clock():
    import time

    built_ns = time.time_ns()

    def now_ns():
        return clock.now_ms() * 1_000_000 if live else built_ns

    def now():
        return now_ns() / 1_000_000_000

    def sleep(_seconds):
        raise OSError("a function cannot sleep")

    def at(convert):
        return lambda seconds=None: convert(now() if seconds is None else seconds)

    def strftime(format, when=None, convert=time.strftime):
        return convert(format, time.localtime() if when is None else when)

    time.time = time.monotonic = time.perf_counter = time.process_time = time.thread_time = now
    time.time_ns = time.monotonic_ns = time.perf_counter_ns = time.process_time_ns = time.thread_time_ns = now_ns
    time.sleep = sleep
    time.gmtime, time.localtime, time.ctime = at(time.gmtime), at(time.localtime), at(time.ctime)
    time.strftime = strftime
    # The C implementation of datetime asks the system; the one in Python asks `time`.
    sys.modules["_datetime"] = None
    sys.modules.pop("datetime", None)


def _randomness():
    built = os.urandom
    os.urandom = lambda count: crypto.random(count) if live else built(count)
    os.getpid = lambda: 1


def _log():
    import logging

    levels = {"debug": log.Level.DEBUG, "info": log.Level.INFO, "warn": log.Level.WARN, "error": log.Level.ERROR}

    class Stream:
        """print() and sys.stderr, line by line."""

        encoding = "utf-8"

        def __init__(self, level):
            self.level, self.rest = levels[level], ""

        def write(self, text):
            *lines, self.rest = (self.rest + text).split("\n")
            for line in lines if live else ():
                log.write(self.level, line)
            return len(text)

        def flush(self):
            pass

        def finish(self):
            if self.rest:
                self.write("\n")

        def isatty(self):
            return False

    class Handler(logging.Handler):
        """The root logger's, as in AWS's runtime."""

        def emit(self, record):
            names = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn"}
            if live:
                log.write(levels[names.get(record.levelno, "error")], self.format(record))

    sys.stdout, sys.stderr = Stream("info"), Stream("error")
    logging.getLogger().addHandler(Handler())


def _files():
    # Tracebacks quote source lines when they can; there are no files to quote from.
    import linecache

    linecache.checkcache = lambda filename=None: None
    linecache.updatecache = lambda filename, module_globals=None: []


def begin():
    """Before a call. What was frozen when the component was built is made anew."""
    global live
    import random

    if not live:
        os.environ.update(config.all())
        live = True
    random.seed(int.from_bytes(crypto.random(16), "little"))


def end():
    sys.stdout.finish()
    sys.stderr.finish()
