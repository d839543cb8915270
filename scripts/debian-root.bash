# debian-root.bash -- a minimal Debian to test in, for the scripts that source it.
#
#   start_root     a root made by debootstrap, or one that is there; /proc in it
#   inside         a command in it, entered with chroot
#   copy_sources   this tree --git ls-files--> ROOT$source_dir
#
# ROOT is removed at the end unless --keep or --root names it.  The packages come
# from the mirror that this machine's apt already uses, through its proxy if it
# has one.  Nothing outside ROOT is changed, but for debootstrap itself, which is
# installed with apt-get if it is missing.
#
# The script runs again in a mount namespace of its own: whatever it or
# debootstrap mounts disappears with it, even after a SIGKILL.
#
# Who sources this sets source_dir, may change `suite`, and has a usage().
# shellcheck shell=bash

program=${0##*/}
top=$(cd -- "$(dirname -- "$0")/.." && pwd)

# shellcheck source=cmake/apt_dates.sh
. "$top/cmake/apt_dates.sh"

suite=unstable
root=
mirror=
keep=no

root_options="\
  --suite SUITE    Debian suite to take them from (default: $suite)
  --mirror URL     Debian mirror (default: the one this machine's apt uses)
  --root DIR       where the minimal system is made; one that is there already
                   is used again and never removed
  --keep           do not remove a root made by this run; without --root it is
                   \${TMPDIR:-/var/tmp}/pimalloc-SUITE, and the next run with
                   --keep uses it again"

say()
{
    printf '[%4d s] %s\n' "$SECONDS" "$*"
}

die()
{
    printf '%s: %s\n' "$program" "$*" >&2
    exit 1
}

bad_usage()
{
    printf '%s: %s (see --help)\n' "$program" "$*" >&2
    exit 2
}

# Takes an option about the root; sets `taken` to the number of its words.
root_option()
{
    case $1 in
    --suite | --mirror | --root)
        [ -n "${2:-}" ] || bad_usage "$1 needs a value"
        taken=2
        ;;
    esac
    case $1 in
    --suite) suite=$2 ;;
    --mirror) mirror=$2 ;;
    --root) root=$2 ;;
    --keep) keep=yes; taken=1 ;;
    --help | -h) usage; exit 0 ;;
    *) bad_usage "unknown option '$1'" ;;
    esac
}

# Runs a long-winded command with its output in a log, shown only on failure.
quietly()
{
    if ! "$@" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        return 1
    fi
}

# --- the machine this runs on -------------------------------------------------

require_privileges()
{
    [ "$(id -u)" -eq 0 ] ||
        die "needs root, for debootstrap, mount and chroot: run it with sudo"
    [ "${PIM_DEBIAN_NAMESPACE:-}" != yes ] || return 0
    unshare --mount --propagation private true 2>/dev/null ||
        die "this machine does not let root mount file systems (a container" \
            "without CAP_SYS_ADMIN?), which debootstrap and /proc need"
    export PIM_DEBIAN_NAMESPACE=yes
    exec unshare --mount --propagation private "$BASH" "$0" "$@"
}

require_debootstrap()
{
    PATH=$PATH:/usr/sbin:/sbin
    ! command -v debootstrap >/dev/null || return 0
    command -v apt-get >/dev/null ||
        die "debootstrap is missing: install your distribution's package"
    say "installing debootstrap"
    # shellcheck disable=SC2086 # words are wanted
    quietly apt-get $APT_ANY_DAY update || die "apt-get update failed"
    quietly env DEBIAN_FRONTEND=noninteractive apt-get install \
        --yes --no-install-recommends debootstrap ||
        die "debootstrap could not be installed"
}

# The base addresses in this machine's apt sources, in either format.
configured_mirrors()
{
    apt-get --print-uris update 2>/dev/null |
        sed -n "s|^'\(.*\)/dists/[^/]*/InRelease' .*|\1|p" | awk '!seen[$0]++'
}

# The first configured mirror that carries the suite.
find_mirror()
{
    local uri
    [ -z "$mirror" ] || return 0
    command -v apt-get >/dev/null || die "no apt here: name a mirror (--mirror)"
    for uri in $(configured_mirrors); do
        if /usr/lib/apt/apt-helper download-file \
            "$uri/dists/$suite/InRelease" "$scratch/InRelease" \
            >"$log" 2>&1; then
            mirror=$uri
            return 0
        fi
    done
    tail -n 20 "$log" >&2
    die "no mirror in this machine's apt sources has '$suite' (--mirror URL)"
}

# --- the root -----------------------------------------------------------------

# Runs a command inside the root with a clean environment.
inside()
{
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive \
        ${http_proxy:+http_proxy="$http_proxy"} \
        ${https_proxy:+https_proxy="$https_proxy"} \
        ${no_proxy:+no_proxy="$no_proxy"} \
        chroot "$root" "$@"
}

# A root is complete once debootstrap is done with it; it leaves a folder
# behind if it was interrupted.
root_is_complete()
{
    [ -x "$root/usr/bin/apt-get" ] && [ ! -e "$root/debootstrap" ]
}

leave()
{
    local status=$?
    trap - EXIT
    if [ -n "$root" ] && mountpoint -q "$root/proc"; then
        umount "$root/proc" || umount --lazy "$root/proc" || keep=yes
    fi
    if [ "$made_root" = yes ] && [ "$keep" = no ]; then
        rm -rf --one-file-system -- "$root"
    fi
    rm -rf -- "$scratch"
    exit "$status"
}

choose_root()
{
    local base=${TMPDIR:-/var/tmp}
    made_root=yes
    if [ -z "$root" ] && [ "$keep" = no ]; then
        root=$(mktemp -d "$base/pimalloc-$suite.XXXXXX")
        chmod 755 "$root" # its / is for everybody
    else
        root=${root:-$base/pimalloc-$suite}
        [ ! -d "$root" ] || made_root=no
        mkdir -p -- "$root"
        root=$(cd -- "$root" && pwd -P)
    fi
    if [ "$root" = / ] || [ ! -O "$root" ]; then
        made_root=no
        die "$root does not belong to root, or is the system itself"
    fi
    exec 9<"$root"
    flock --nonblock 9 || die "another run uses $root"
}

make_root()
{
    if root_is_complete; then
        say "using the Debian system in $root"
        return 0
    fi
    [ -z "$(ls -A -- "$root")" ] || [ -e "$root/debootstrap" ] ||
        die "$root is neither empty nor a Debian system: it is left alone"
    require_debootstrap
    find_mirror
    say "debootstrap $suite from $mirror into $root"
    local with=()
    case $mirror in https:*) with=(--include=ca-certificates) ;; esac
    find "$root" -xdev -mindepth 1 -delete # of an interrupted run
    quietly debootstrap --variant=minbase ${with+"${with[@]}"} \
        "$suite" "$root" "$mirror" || die "debootstrap failed"
    fresh_lists=yes
}

# apt inside the root: this machine's proxy, and nothing that is not needed.
configure_apt()
{
    local conf=$root/etc/apt/apt.conf.d/90pimalloc
    apt-config dump 2>/dev/null |
        grep -E '^Acquire::(http|https)::Proxy' >"$conf" || true
    cat >>"$conf" <<'CONF'
Acquire::Languages "none";
Acquire::Retries "3";
APT::Install-Recommends "false";
DPkg::Options { "--force-unsafe-io"; };
CONF
    cat >"$root/etc/dpkg/dpkg.cfg.d/pimalloc" <<'CONF'
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
CONF
    # No package may start a service here.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
}

mount_proc()
{
    mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
}

# From here on there is a root, and a folder `scratch` with the file `log`; both
# are seen to at the exit.  `fresh_lists`: apt's lists in the root are of today.
start_root()
{
    require_privileges "$@"
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/$program.XXXXXX")
    log=$scratch/log
    made_root=no
    fresh_lists=no
    lists_are_seen_to=no
    trap leave EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    choose_root
    make_root
    configure_apt
    mount_proc
}

# --- packages and sources ------------------------------------------------------

# Whether all named packages are installed in the root.
have_packages()
{
    local states
    # shellcheck disable=SC2016 # dpkg-query expands it
    states=$(inside dpkg-query -W -f '${db:Status-Status}\n' "$@" 2>"$log") &&
        [ "$(sort -u <<<"$states")" = installed ]
}

# Before the first package is installed.
update_lists()
{
    [ "$lists_are_seen_to" = no ] || return 0
    # shellcheck disable=SC2086 # words are wanted
    [ "$fresh_lists" = yes ] || quietly inside apt-get $APT_ANY_DAY update ||
        say "apt-get update failed: going on with the lists there are"
    lists_are_seen_to=yes
    apt_say_dates "$root/var/lib/apt/lists" "$suite"
}

install_packages()
{
    quietly inside apt-get install --yes "$@"
}

# Names, NUL separated, of the files that make up the source tree: what git
# tracks or would track, as it is on disk.
list_sources()
{
    local file
    cd -- "$top"
    if git -c safe.directory="$top" rev-parse --git-dir >/dev/null 2>&1; then
        git -c safe.directory="$top" \
            ls-files -z --cached --others --exclude-standard |
            while IFS= read -r -d '' file; do
                [ ! -e "$file" ] && [ ! -L "$file" ] || printf '%s\0' "$file"
            done
    else
        find . -path ./build -prune -o -type f -print0
    fi
}

copy_sources()
{
    rm -rf --one-file-system -- "$root$source_dir"
    mkdir -p "$root$source_dir"
    list_sources | sort -zu | tar -C "$top" --null --no-recursion -T - -c |
        tar -C "$root$source_dir" --no-same-owner -x
}
