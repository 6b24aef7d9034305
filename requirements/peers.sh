#!/bin/sh
# Unpack syslog-ng, which Debian does not install beside rsyslog, so that `tabard bench peers` can run both.
#
#   requirements/peers.sh DIRECTORY
#
# Nothing of it is installed or started: export SYSLOG_NG_ROOT=DIRECTORY afterwards. What it needs of other packages can be
# installed: libdbd-sqlite3 libdbi1 libglib2.0-0 libivykis0 libjson-c5 libnet1 libpcre3 libwrap0. Does nothing when it was done before.
set -eu

to=${1:?say where to}
[ ! -x "$to/usr/sbin/syslog-ng" ] || exit 0
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
chmod 755 "$packages"
(cd "$packages" && apt-get -qq download syslog-ng-core syslog-ng-mod-sql)
mkdir -p "$to"
for each in "$packages"/*.deb; do
    dpkg-deb --extract "$each" "$to"
done
