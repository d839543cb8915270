#!/bin/sh
# check_format.sh -- every C source is as clang-format writes it.
#
#     check_format.sh [--fix]
#
# Looks at what git tracks and at what it would track.  Versions of clang-format
# disagree in details, so one must be the judge: 14, which Debian 12 has.
# CLANG_FORMAT names its executable.  Exits with 77 (CTest: skipped) without it.
set -eu

cd "$(dirname "$0")/../.."
format=${CLANG_FORMAT:-$(command -v clang-format-14 || command -v clang-format || true)}
case $("${format:-false}" --version 2>/dev/null || true) in
*"version 14."*) ;;
*)
    echo "check_format.sh: no clang-format 14 here (Debian package clang-format-14)" >&2
    exit 77
    ;;
esac

if git -c safe.directory="$PWD" rev-parse --git-dir >/dev/null 2>&1; then
    files=$(git -c safe.directory="$PWD" ls-files --cached --others \
        --exclude-standard -- '*.c' '*.h' '*.cpp' '*.cc')
else
    files=$(find include src hooks examples tests bench cmake \
        -name '*.[ch]' -o -name '*.cpp' 2>/dev/null || true)
fi
existing=
for file in $files; do
    [ ! -f "$file" ] || existing="$existing $file"
done

if [ "${1:-}" = --fix ]; then
    # shellcheck disable=SC2086 # our file names have no spaces
    exec "$format" -i $existing
fi
bad=0
for file in $existing; do
    # A few lines of each are enough to see what it is about.
    if ! "$format" "$file" | diff -u "$file" - >/dev/null; then
        "$format" "$file" | diff -u "$file" - | head -n 12 || true
        bad=$((bad + 1))
    fi
done
[ "$bad" -eq 0 ] || {
    echo "check_format.sh: $bad files differ; tests/lint/check_format.sh --fix repairs them" >&2
    exit 1
}
