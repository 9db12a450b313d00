#!/bin/sh
# PostgreSQL and Chromium, for the tests of the Django adapter, from the packages of Debian and its relatives.
#
#   begin    in CI: install what is missing, in the background, while other things are looked at
#   finish   wait for that; elsewhere say what is missing, and that its tests are left out
#
# Only the programs are wanted: the tests make clusters and profiles of their own, and nothing is started.
set -eu
cd "$(dirname "$0")/.."
log=.servers/packages.log
code=.servers/packages.code

missing() {
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || printf 'postgresql '
	command -v chromium >/dev/null || [ -n "${DURABLY_CHROMIUM:-}" ] || printf 'chromium '
}

install() {
	as_root=""
	[ "$(id -u)" -eq 0 ] || as_root="sudo"
	$as_root mkdir -p /etc/postgresql-common &&
		echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null &&
		$as_root apt-get -q update &&
		$as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get -q install --yes \
			--no-install-recommends -o Dpkg::Options::=--force-confold "$@"
}

begin() {
	mkdir -p .servers
	rm -f "$log" "$code"
	wanted=$(missing)
	if [ "${CI:-}" = true ] && [ -n "$wanted" ] && command -v apt-get >/dev/null; then
		echo "Installing ${wanted}with apt-get, in the background"
		: >"$log"
		# shellcheck disable=SC2086 # names of packages
		(
			set +e
			install $wanted
			echo $? >"$code"
		) >>"$log" 2>&1 </dev/null &
	fi
}

finish() {
	if [ -f "$log" ]; then
		while [ ! -f "$code" ]; do sleep 1; done
		if [ "$(cat "$code")" != 0 ]; then
			cat "$log" >&2
			echo "Packages that the tests of the Django adapter need could not be installed." >&2
			exit 1
		fi
	fi
	wanted=$(missing)
	if [ -n "$wanted" ] && [ "${CI:-}" = true ]; then
		echo "Not found: ${wanted}. CI must not leave their tests out." >&2
		exit 1
	elif [ -n "$wanted" ]; then
		echo "Notice: not found: ${wanted}(apt-get install). Tests that need them are left out."
	fi
}

"$1"
