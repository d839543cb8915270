#!/bin/sh
# fetch_debian.sh -- unpack Debian packages into a directory, as any user.
#
#     fetch_debian.sh DIR SUITE PACKAGE...
#
# Uses apt with lists, cache and sources of its own under DIR/apt, so nothing on
# the system changes and no root is needed.  The mirror, its proxies and its
# credentials are the ones this machine's apt is set up with; a variable
# PIM_DEBIAN_MIRROR names another, and PIM_DEBIAN_KEYRING whose signature counts.
# PACKAGE+ is PACKAGE and what it depends on directly (a -dev package's library,
# whose name differs between releases).  What the packages hold lands in DIR/root.
set -eu

# shellcheck source=cmake/apt_dates.sh
. "$(dirname -- "$0")/apt_dates.sh"

dir=$1
suite=$2
shift 2

fail() {
    echo "fetch_debian.sh: $*" >&2
    exit 1
}

command -v apt-get >/dev/null || fail "apt-get not found (not a Debian system)"
command -v dpkg-deb >/dev/null || fail "dpkg-deb not found"

mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" \
    "$dir/apt/debs" "$dir/root"
dir=$(cd "$dir" && pwd)

# Which mirror?  apt itself knows: the archive from which it would update the
# running release.  Suites of third parties are passed over by name.
mirror=${PIM_DEBIAN_MIRROR:-}
if [ -z "$mirror" ]; then
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release | tr -d '"')
    for s in ${codename:-stable} sid unstable testing stable; do
        mirror=$(apt-get --print-uris update -o Dir::State::Lists="$dir/apt/lists" \
            -o Dir::Cache="$dir/apt/cache" |
            sed -n "s,^'\([^']*\)/dists/$s/InRelease'.*,\1,p" | head -n 1)
        [ -z "$mirror" ] || break
    done
fi
[ -n "$mirror" ] || fail "no Debian mirror in this machine's apt sources;" \
    "set PIM_DEBIAN_MIRROR=<uri> or install by hand: $*"

signed=
keyring=${PIM_DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
[ ! -r "$keyring" ] || signed="[signed-by=$keyring] "
echo "deb $signed$mirror $suite main" >"$dir/apt/sources.list"

# Read last, after the system's configuration: the hooks that belong to the
# system's own update are cleared, the rest (proxies) stays.
cat >"$dir/apt/apt.conf" <<EOF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::SourceList "$dir/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$dir/apt/lists";
Dir::Cache "$dir/apt/cache";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
EOF

echo "   apt: $mirror $suite: $*"
# shellcheck disable=SC2086 # words are wanted
apt-get -q -c "$dir/apt/apt.conf" $APT_ANY_DAY update
apt_say_dates "$dir/apt/lists" "$suite"

# The packages to take, with the + resolved.
expand() {
    for package; do
        echo "${package%+}"
        case $package in
        *+) apt-cache -c "$dir/apt/apt.conf" depends "${package%+}" |
            sed -n 's/^ *Depends: \([a-z0-9.+-]*\)$/\1/p' ;;
        esac
    done
}
packages=$(expand "$@")

cd "$dir/apt/debs"
rm -f -- *.deb
# shellcheck disable=SC2086 # names of packages have no spaces
apt-get -q -c "$dir/apt/apt.conf" download $packages
for deb in *.deb; do
    dpkg-deb -x "$deb" "$dir/root"
done
rm -rf "$dir/apt" # lists and archives were needed only for this
