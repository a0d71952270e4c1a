#!/usr/bin/env python3
"""Makes a MaxMind DB file of ranges with their autonomous systems: CSV lines "first,last,number,organization".

    geo/asn.py OUT.mmdb RANGES.csv...

Addresses of IPv4 and IPv6 may be mixed. Where ranges overlap the one that begins later counts,
of two that begin together the shorter one. geo/fetch.sh asn calls it.
Format: https://maxmind.github.io/MaxMind-DB/
"""

import csv
import ipaddress
import os
import struct
import sys
import time
from bisect import bisect_left

TEXT, UINT16, UINT32, MAP, UINT64, LIST = 2, 5, 6, 7, 9, 11
KEYS = ("autonomous_system_number", "autonomous_system_organization")


def control(kind, size):
    """What stands before a value: its type, how long it is."""
    extended = b"" if kind <= 7 else bytes([kind - 7])
    first = kind << 5 if kind <= 7 else 0
    if size < 29:
        return bytes([first | size]) + extended
    if size < 285:
        return bytes([first | 29]) + extended + bytes([size - 29])
    return bytes([first | 30]) + extended + struct.pack(">H", min(size, 65820) - 285)


def text(value):
    value = value.encode()[:65820]
    return control(TEXT, len(value)) + value


def number(kind, value):
    digits = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return control(kind, len(digits)) + digits


def ranges(paths):
    """(first, last, what), in order; an IPv4 address is the IPv6 one of the same number, as the format has it."""
    read = []
    for path in paths:
        with open(path, newline="", encoding="utf-8") as lines:
            for at, line in enumerate(csv.reader(lines), 1):
                try:
                    first, last, asn, organization = line
                    read.append((int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last)), (int(asn), organization)))
                except ValueError as error:
                    sys.exit(f"{path}:{at}: {error}: wanted first,last,number,organization")
    # From the end: the first begins first, and of two that begin together the longer one.
    read.sort(key=lambda one: (-one[0], one[1]))
    apart = []
    while read:
        first, last, what = read.pop()
        if read and read[-1][0] <= last:
            inner_first, inner_last, _ = read[-1]
            if last > inner_last:
                rest = (inner_last + 1, last, what)
                read.insert(bisect_left(read, -rest[0], key=lambda one: -one[0]), rest)
            last = inner_first - 1
        if first <= last:
            apart.append((first, last, what))
    return apart


class Database:
    def __init__(self, read):
        self.firsts = [first for first, _, _ in read]
        self.lasts = [last for _, last, _ in read]
        self.whats = [what for _, _, what in read]
        self.data = bytearray(b"".join(text(key) for key in KEYS))
        self.keys = (0, len(text(KEYS[0])))
        self.offsets = {}
        self.nodes = []
        self.root = self.part(0, 128, 0, len(read))
        if not isinstance(self.root, int):
            sys.exit("the ranges are empty, or all there is")

    def part(self, start, bits, low, high):
        """What the addresses from `start` on with `bits` free bits lead to: a node's number, data (as a text of bytes), None."""
        if low == high:
            return None
        end = start + (1 << bits) - 1
        if high - low == 1 and self.firsts[low] <= start and self.lasts[low] >= end:
            return self.record(self.whats[low])
        at = len(self.nodes)
        self.nodes.append(None)
        half = start + (1 << (bits - 1))
        left = self.part(start, bits - 1, low, bisect_left(self.firsts, half, low, high))
        right = self.part(half, bits - 1, bisect_left(self.lasts, half, low, high), high)
        self.nodes[at] = (left, right)
        return at

    def record(self, what):
        if what not in self.offsets:
            asn, organization = what
            self.offsets[what] = len(self.data)
            self.data += control(MAP, 2)
            for key, value in zip(self.keys, (number(UINT32, asn), text(organization))):
                self.data += bytes([0x20 | key >> 8, key & 0xFF]) + value
        return struct.pack(">I", self.offsets[what])

    def write(self, out):
        count = len(self.nodes)

        def pointer(to):
            if to is None:
                return count
            return to if isinstance(to, int) else count + 16 + struct.unpack(">I", to)[0]

        tree = b"".join(struct.pack(">II", pointer(left), pointer(right)) for left, right in self.nodes)
        about = {
            "binary_format_major_version": number(UINT16, 2),
            "binary_format_minor_version": number(UINT16, 0),
            "build_epoch": number(UINT64, int(time.time())),
            "database_type": text("ip-location-db-ASN"),
            "description": control(MAP, 1) + text("en") + text("Autonomous systems"),
            "ip_version": number(UINT16, 6),
            "languages": control(LIST, 1) + text("en"),
            "node_count": number(UINT32, count),
            "record_size": number(UINT16, 32),
        }
        about = control(MAP, len(about)) + b"".join(text(key) + value for key, value in about.items())
        with open(out + ".new", "wb") as file:
            file.write(tree + bytes(16) + self.data + b"\xab\xcd\xefMaxMind.com" + about)
        os.replace(out + ".new", out)


def main():
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    out, *paths = sys.argv[1:]
    Database(ranges(paths)).write(out)


main()
