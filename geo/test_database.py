#!/usr/bin/env python3
"""Makes geo/test.mmdb: documentation addresses (RFC 5737, RFC 3849) only, in the shapes that address databases have.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install mmdb-writer==0.2.7
    /tmp/v/bin/python geo/test_database.py geo/test.mmdb
"""

import sys
from unittest import mock

from mmdb_writer import MMDBWriter, MmdbF64, MmdbU16, MmdbU32
from netaddr import IPSet


def named(**more):
    """A MaxMind record's part: names by language."""
    name = more.pop("name")
    return {**more, "names": {"de": name.upper(), "en": name}}


NETWORKS = {
    # As GeoLite2-City and DB-IP have it.
    "192.0.2.0/25": {
        "city": named(name="Frankfurt am Main"),
        "country": named(iso_code="DE", name="Germany"),
        "location": {
            "latitude": MmdbF64(50.1188),
            "longitude": MmdbF64(8.6843),
            "time_zone": "Europe/Berlin",
        },
        "postal": {"code": "60313"},
        "subdivisions": [named(iso_code="HE", name="Hesse")],
    },
    "192.0.2.128/25": {
        "city": named(name="Portland"),
        "country": named(iso_code="US", name="United States"),
        "location": {
            "latitude": MmdbF64(45.5235),
            "longitude": MmdbF64(-122.6762),
            "metro_code": MmdbU16(820),
            "time_zone": "America/Los_Angeles",
        },
        "subdivisions": [named(iso_code="OR", name="Oregon"), named(iso_code="X", name="Multnomah")],
    },
    # As GeoLite2-ASN has it.
    "198.51.100.0/25": {
        "autonomous_system_number": MmdbU32(64496),
        "autonomous_system_organization": "Example Net",
    },
    # As ip-location-db's city and country databases have it; an empty text is no value.
    "198.51.100.128/25": {
        "city": "Sydney",
        "country_code": "AU",
        "latitude": MmdbF64(-33.8688),
        "longitude": MmdbF64(151.209),
        "postcode": "",
        "state1": "New South Wales",
        "state2": "",
        "timezone": "",
    },
    "203.0.113.0/25": {"country_code": "US"},
    # Where a network is registered is no place.
    "203.0.113.128/26": {"registered_country": named(iso_code="FR", name="France")},
    # Nothing that is known here.
    "203.0.113.192/27": {"is_anycast": True, "country": {}},
    "2001:db8::/48": {"country": named(iso_code="JP", name="Japan")},
    "2001:db8:1::/48": {"country_code": "BR"},
}


def main(path):
    writer = MMDBWriter(6, "Rimward-Test", languages=["de", "en"], description="Documentation addresses", ipv4_compatible=True)
    for network, record in NETWORKS.items():
        writer.insert_network(IPSet([network]), record)
    # The same bytes whenever it runs.
    with mock.patch("time.time", return_value=1767225600):
        writer.to_db_file(path)


main(*sys.argv[1:])
