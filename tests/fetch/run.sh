#!/bin/sh
# run.sh -- does cmake/fetch_debian.sh work on any day, and for signed lists only?
#
#     run.sh FETCH_DEBIAN_SH
#
# Makes an archive of one package in a scratch folder, with dates and signatures
# of our choice, and fetches the package from it.  77: a tool for that is missing.
set -eu

fetch=$1
for tool in apt-get dpkg-deb gpg; do
    command -v "$tool" >/dev/null || { echo "no $tool here"; exit 77; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/pimalloc-fetch.XXXXXX")
export GNUPGHOME="$work/gnupg"
leave() {
    gpgconf --kill all 2>/dev/null || :
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 130' HUP INT TERM
mkdir -m 700 "$GNUPGHOME"

fail() {
    echo "FAILED: $*" >&2
    cat "$work/log" >&2
    exit 1
}

# What this machine's apt is told about dates is not what is tested.
cat >"$work/apt.conf" <<EOF
Dir::Etc::Parts "/dev/null";
Acquire::Check-Date "true";
EOF
export APT_CONFIG="$work/apt.conf"

archive=$work/archive
mkdir -p "$archive/dists/day/main/binary-amd64" "$archive/pool" "$work/package/DEBIAN"

make_package() {
    arch=$(dpkg --print-architecture)
    mkdir -p "$work/package/usr/share/there" "$archive/dists/day/main/binary-$arch"
    echo 1 >"$work/package/usr/share/there/it"
    cat >"$work/package/DEBIAN/control" <<EOF
Package: there
Version: 1
Architecture: all
Maintainer: nobody <nobody@localhost>
Description: a package
EOF
    dpkg-deb --build --root-owner-group "$work/package" "$archive/pool/there.deb" >"$work/log"
    packages=$archive/dists/day/main/binary-$arch/Packages
    {
        cat "$work/package/DEBIAN/control"
        echo "Filename: pool/there.deb"
        echo "Size: $(wc -c <"$archive/pool/there.deb")"
        echo "SHA256: $(sha256sum "$archive/pool/there.deb" | cut -d' ' -f1)"
    } >"$packages"
}

make_key() {
    gpg --batch --quiet --pinentry-mode loopback --passphrase '' \
        --quick-gen-key "$1" ed25519 sign never 2>"$work/log" || fail "no key for $1"
    gpg --export "$1" >"$work/$1.gpg"
}

# publish KEY DATE VALID-UNTIL -- in words of date(1); no third: valid for ever.
publish() {
    {
        echo "Suite: day"
        echo "Codename: day"
        echo "Date: $(date -u -R -d "$2" | sed 's/+0000/UTC/')"
        [ -z "${3:-}" ] ||
            echo "Valid-Until: $(date -u -R -d "$3" | sed 's/+0000/UTC/')"
        echo "Architectures: all $arch"
        echo "Components: main"
        echo "SHA256:"
        echo " $(sha256sum "$packages" | cut -d' ' -f1) $(wc -c <"$packages")" \
            "${packages#"$archive/dists/day/"}"
    } >"$work/Release"
    rm -f "$archive/dists/day/InRelease"
    gpg --batch --quiet --local-user "$1" --clearsign \
        -o "$archive/dists/day/InRelease" "$work/Release"
}

fetches() {
    rm -rf "$work/out"
    PIM_DEBIAN_MIRROR="file:$archive" PIM_DEBIAN_KEYRING="$work/ours.gpg" \
        sh "$fetch" "$work/out" day there >"$work/log" 2>&1 </dev/null &&
        [ -e "$work/out/root/usr/share/there/it" ]
}

make_package
make_key ours
make_key theirs

publish ours "1 day ago" "next week"
fetches || fail "a list of yesterday is not used"
! grep -q "used all the same" "$work/log" || fail "words about a date that is right"

publish ours "1 day ago"
fetches || fail "a list without an end is not used"
! grep -q "used all the same" "$work/log" || fail "words about no date"

publish ours "4 weeks ago" "3 weeks ago"
fetches || fail "a list is not used whose day has passed"
day=$(date -u -d "3 weeks ago" +%Y-%m-%d)
[ "$(grep -c "lists of day were valid until $day .*used all the same" "$work/log")" = 1 ] ||
    fail "not one line about the day that has passed"

publish ours "+2 days" "+9 days" # as seen by a clock that runs behind
fetches || fail "a list of the day after tomorrow is not used"
[ "$(grep -c "lists of day were made .*to come: used all the same" "$work/log")" = 1 ] ||
    fail "not one line about a clock that runs behind"

publish theirs "4 weeks ago" "3 weeks ago"
! fetches || fail "another key's signature is taken"

publish ours "4 weeks ago" "3 weeks ago"
echo "X-Changed: yes" >>"$packages"
! fetches || fail "a list that was changed afterwards is taken"

publish ours "4 weeks ago" "3 weeks ago"
sed -i 's/^Valid-Until: .*/Valid-Until: Fri, 01 Jan 2100 00:00:00 UTC/' \
    "$archive/dists/day/InRelease"
! fetches || fail "a date that was changed afterwards is taken"

echo "7 archives: as they should be"
