#!/bin/sh
# Installs what the tests use from outside Python: strace, and an OPA where there is none. Says what it does.
set -eu
if ! command -v strace >/dev/null 2>&1; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "the tests need strace: install it, then run them again" >&2
        exit 2
    fi
    echo "installing strace" >&2
    apt-get update -qq && apt-get install -y -qq --no-install-recommends strace >/dev/null
fi
.venv/bin/muster opa path >/dev/null
