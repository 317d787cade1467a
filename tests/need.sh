#!/bin/sh
# Installs what the tests use from outside Python: strace, a C compiler for the wheel, Chromium, an OPA where there is
# none, other people's log tools and gateways. Says what it does.
set -eu
missing=
command -v strace >/dev/null 2>&1 || missing="$missing strace"
ours() { .venv/bin/python -c "from sysconfig import *; print($1)"; }
command -v "$(ours 'get_config_var("CC").split()[0]')" >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
test -e "$(ours 'get_path("include")')/Python.h" || missing="$missing python3-dev"
command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium fonts-dejavu-core"
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "the tests need$missing: install it, then run them again" >&2
        exit 2
    fi
    echo "installing$missing" >&2
    # shellcheck disable=SC2086  # a list of packages
    apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
export PYTHON="$(pwd)/.venv/bin/python"
# One computes while another waits for the network; where one fails, so does this.
.venv/bin/muster opa path >/dev/null &
opa=$!
tests/gateways/install.sh &
gateways=$!
tests/thirdparty/install.sh
wait "$opa"
wait "$gateways"
