#!/bin/sh
# Installs other people's transparency-log tools, which judge the logs that Muster publishes, into
# ${MUSTER_CACHE:-~/.cache/muster}/tlog: Tessera's fsck and posix-oneshot, our checker on x/mod, merkle and formats, and a
# Python environment with tlog-scales, aics-tlog and aics-witness. Does nothing where they are. Needs Go and Python.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=${MUSTER_CACHE:-$HOME/.cache/muster}/tlog
tessera=v1.0.4
mkdir -p "$home"

# Two test runs may begin at once; where there is no flock, each step still ends in one rename.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$home/lock"
    flock 9
fi
work=$(mktemp -d "$home/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

need_go() {
    command -v go >/dev/null 2>&1 && return
    echo "the tests with other people's log tools need Go 1.26 or newer on PATH" >&2
    exit 2
}

# The directory's name has the version, so another version is another directory.
for tool in cmd/fsck cmd/examples/posix-oneshot; do
    name=${tool##*/}
    [ -x "$home/tessera-$tessera/$name" ] && continue
    need_go
    echo "building Tessera's $name $tessera: some seconds, or a minute where Go has nothing cached" >&2
    (cd "$work" && GOBIN=$work CGO_ENABLED=0 go install -buildvcs=false "github.com/transparency-dev/tessera/$tool@$tessera")
    mkdir -p "$home/tessera-$tessera"
    mv -f "$work/$name" "$home/tessera-$tessera/$name"
done

sources=$(cat "$here"/checker/*.go "$here/checker/go.mod" "$here/checker/go.sum" | sha256sum | cut -c1-16)
if [ "$(cat "$home/checker.stamp" 2>/dev/null)" != "$sources" ] || [ ! -x "$home/checker" ]; then
    need_go
    echo "building the checker" >&2
    (cd "$here/checker" && CGO_ENABLED=0 go build -buildvcs=false -trimpath -o "$work/checker" .)
    mv -f "$work/checker" "$home/checker"
    echo "$sources" >"$home/checker.stamp"
fi

# aics-* say Python 3.12, and run on 3.11 all the same: a newer Python is taken where one works, else the one at hand.
suits() {
    "$1" -c 'import ensurepip, sqlite3, ssl, sys, venv; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1
}
choose_python() {
    for python in python3 python3.14 python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python3; do
        if suits "$python"; then
            echo "$python"
            return
        fi
    done
    echo "${PYTHON:-python3}"
}

packages='tlog-scales==0.0.3 --hash=sha256:89cee88f3a08de210b0d05f1c6e208a87e7f0640ff560d43bd9042d680574dbb
aics-tlog==0.2.1 --hash=sha256:e8cd2be003001576353bbd1a139b68252baf85df8e5d356c5ff26f3c417efdfc
aics-witness==0.1.0 --hash=sha256:cd3f5acd2e79a8e29411a5a810b65ad7c5709d468cf1e889533bb0d5e5fe8400'
if [ "$(cat "$home/venv/stamp" 2>/dev/null)" != "$packages" ] || [ ! -x "$home/venv/bin/python" ]; then
    python=$(choose_python)
    echo "installing tlog-scales, aics-tlog and aics-witness with $("$python" --version)" >&2
    rm -rf "$home/venv"
    "$python" -m venv "$home/venv"
    echo "$packages" >"$work/packages"
    pip() { "$home/venv/bin/python" -m pip --quiet --disable-pip-version-check install "$@"; }
    # What Python they declare is ignored for these three only: their dependencies must suit the one that runs.
    pip --ignore-requires-python --no-deps --require-hashes --requirement "$work/packages"
    pip 'cryptography>=50.0.2' 'requests>=2.34.2'
    "$home/venv/bin/python" -I -c 'import aics_tlog, aics_witness.cli, tlog_scales.reader'
    mv -f "$work/packages" "$home/venv/stamp"
fi
