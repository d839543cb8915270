#!/bin/sh
# run.sh -- is what `cmake --install` gives complete, relocatable and clean?
#
# Installs into a scratch prefix, moves it, and builds and runs the program in
# consumer/ four ways: find_package and pkg-config, shared and static.  Run by
# CTest, which sets the PIM_* variables.
set -eu

work=$PIM_BUILD/tests/install/work
here=$(cd "$(dirname "$0")" && pwd)
python_link=$(echo "$PIM_PYTHON_LINK" | tr ';' ' ')
rpath=
for word in $python_link; do
    case $word in
    /*.so*) rpath="-Wl,-rpath,$(dirname "$word")" ;;
    esac
done

fail() {
    echo "install test: $*" >&2
    exit 1
}

rm -rf "$work"
mkdir -p "$work/bin"
"$PIM_CMAKE" --install "$PIM_BUILD" --prefix "$work/first" --strip >"$work/install.log"
mv "$work/first" "$work/moved"
lib=$work/moved/$PIM_LIBDIR
so=$lib/libpimalloc.so.0

echo "-- installed"
(cd "$work/moved" && find . -type f -o -type l) | sort
for file in "$so" "$lib/libpimalloc.a" "$lib/pkgconfig/pimalloc.pc" \
    "$lib/cmake/pimalloc/pimallocConfig.cmake" \
    "$work/moved/include/pimalloc/pimalloc.h" "$lib/libpimalloc-preload.so" \
    "$work/moved/bin/pimalloc-run" "$work/moved/share/man/man1/pimalloc-run.1" \
    "$work/moved/share/man/man3/pimalloc.3" \
    "$work/moved/share/doc/pimalloc/examples/tenants.c" \
    "$work/moved/share/doc/pimalloc/examples/demo/demo.c"; do
    [ -e "$file" ] || fail "$file is missing"
done

echo "-- links between installed documents lead somewhere"
find "$work/moved" -name '*.md' >"$work/documents"
[ "$(wc -l <"$work/documents")" -ge 4 ] || fail "documents are missing"
while read -r file; do
    grep -o '](\([^)#]*\)' "$file" | sed 's/^](//' | grep -v -e '^$' -e '^https\{0,1\}:' |
        sort -u | while read -r link; do
        [ -e "$(dirname "$file")/$link" ] || echo "$file: $link"
    done
done <"$work/documents" >"$work/dead"
[ ! -s "$work/dead" ] || { cat "$work/dead"; fail "the links above are dead"; }

echo "-- the launcher finds its library and its mimalloc"
launcher=$work/moved/bin/pimalloc-run
[ "$(LD_PRELOAD='' "$launcher" sh -c 'echo "$LD_PRELOAD"')" = "$(cd "$lib" && pwd -P)/libpimalloc-preload.so" ] ||
    fail "pimalloc-run preloads something else"
"$launcher" --with-malloc true || fail "no mimalloc for --with-malloc"

echo "-- the shared library exports pimalloc_* only and needs libc only"
nm -D --defined-only "$so" | awk '{ print $NF }' >"$work/exported"
grep -qx pimalloc_install "$work/exported" || fail "pimalloc_install is not exported"
! grep -v '^pimalloc_' "$work/exported" || fail "exports the symbols above"
readelf -d "$so" >"$work/dynamic"
! grep -E 'NEEDED.*(python|mimalloc)' "$work/dynamic" || fail "is linked to the above"
! grep -E 'R(UN)?PATH' "$work/dynamic" || fail "has a run path"
grep -q NODELETE "$work/dynamic" || fail "could be unloaded"

echo "-- a build without tests makes the examples that the documents run"
"$PIM_CMAKE" -S "$PIM_SOURCE" -B "$work/plain" -G "Unix Makefiles" -DPIMALLOC_TESTS=OFF \
    -DPIMALLOC_DEPS_DIR="$PIM_DEPS" -DPIMALLOC_FETCH="$PIM_FETCH" \
    -DPIMALLOC_MIMALLOC="$PIM_MIMALLOC" -DCMAKE_C_COMPILER="$PIM_CC" >"$work/plain.log" 2>&1 ||
    { cat "$work/plain.log"; fail "a build without tests cannot be configured"; }
targets=$work/plain/CMakeFiles/Makefile2
for example in demo embed15 tenants; do
    grep -q "^all: examples/all$" "$targets" &&
        grep -q "^examples/all: examples/CMakeFiles/$example.dir/all$" "$targets" ||
        fail "a build without tests does not make $example"
done

echo "-- nothing names the source, the build tree or the first prefix"
strip -g -o "$work/stripped.a" "$lib/libpimalloc.a"
for place in "$PIM_SOURCE" "$PIM_BUILD" "$work/first"; do
    ! grep -rlF --exclude='*.a' "$place" "$work/moved" "$work/stripped.a" ||
        fail "the files above name $place"
done

# A program with pimalloc linked in looks for mimalloc in pimalloc/ beside itself,
# or where it is told.
run_static() {
    folder=$(cd "$(dirname "$1")" && pwd -P)/pimalloc
    "$1" >"$work/static.out" 2>&1 || grep -q "$folder/libmimalloc.so.3" "$work/static.out" ||
        { cat "$work/static.out"; fail "$1 does not say that it looked into $folder"; }
    if [ -d "$lib/pimalloc" ]; then
        PIMALLOC_MIMALLOC=$lib/pimalloc/libmimalloc.so.3 "$1" || fail "$1 with PIMALLOC_MIMALLOC"
        ln -s "$lib/pimalloc" "$folder"
    fi
    "$1"
}

echo "-- find_package"
"$PIM_CMAKE" -S "$here/consumer" -B "$work/consumer" -G "Unix Makefiles" \
    -DCMAKE_C_COMPILER="$PIM_CC" -DCMAKE_PREFIX_PATH="$work/moved" \
    -DCONSUMER_PYTHON_INCLUDE="$PIM_PYTHON_INCLUDE" \
    -DCONSUMER_PYTHON_LINK="$PIM_PYTHON_LINK" >"$work/configure.log" ||
    fail "see $work/configure.log"
"$PIM_CMAKE" --build "$work/consumer" >"$work/build.log" 2>&1 ||
    { cat "$work/build.log"; fail "find_package consumers do not build"; }
"$work/consumer/bin/consumer_pimalloc"
run_static "$work/consumer/bin/consumer_static"

if ! command -v pkg-config >/dev/null; then
    echo "-- pkg-config is not installed: that half is passed over"
    exit 0
fi
echo "-- pkg-config"
export PKG_CONFIG_PATH="$lib/pkgconfig"
# shellcheck disable=SC2046,SC2086 # words are wanted
{
    "$PIM_CC" -o "$work/bin/shared" "$here/consumer/main.c" \
        -I"$PIM_PYTHON_INCLUDE" $(pkg-config --cflags --libs pimalloc) \
        $python_link $rpath -lm
    "$PIM_CC" -o "$work/bin/static" "$here/consumer/main.c" \
        -I"$PIM_PYTHON_INCLUDE" $(pkg-config --cflags pimalloc) \
        $(pkg-config --static --libs pimalloc | sed 's/-lpimalloc/-l:libpimalloc.a/') \
        $python_link $rpath -lm
}
LD_LIBRARY_PATH=$lib "$work/bin/shared"
run_static "$work/bin/static"
! readelf -d "$work/bin/static" | grep libpimalloc || fail "static is not static"
echo "install test: passed"
