#!/bin/sh
# Installs PostgreSQL from the distribution's packages, on Debian and its relatives. Only the programs are wanted: the
# tests make clusters of their own, so that none is made, and none is started, by the installation.
set -eu
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"
if ! command -v apt-get >/dev/null; then
	echo "PostgreSQL was not found, and there is no apt-get to install it with." >&2
	exit 1
fi
$as_root mkdir -p /etc/postgresql-common
echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
$as_root apt-get -qq update
$as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get -qq install --yes --no-install-recommends \
	-o Dpkg::Options::=--force-confold postgresql >/dev/null
