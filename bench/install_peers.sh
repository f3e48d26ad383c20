#!/bin/sh
# Installs the peers that `make bench` compares with, each into bench/.work (which git ignores). For benches only, never in CI.
#
#   bench/install_peers.sh              both, at the versions below
#   LITELLM=1.2.3 PORTKEY=4.5.6 bench/install_peers.sh litellm portkey
#
# nginx is used when it is on PATH (Debian: apt-get install --no-install-recommends nginx).
set -eu
work="$(cd "$(dirname "$0")" && pwd)/.work"
mkdir -p "$work"

litellm() {
    "${PYTHON:-python3}" -m venv "$work/litellm" 2>/dev/null ||
        { rm -rf "$work/litellm"; "${PYTHON:-python3}" -m venv --without-pip "$work/litellm"; }
    "${PYTHON:-python3}" -m pip --python "$work/litellm/bin/python" install -q "litellm[proxy]==${LITELLM:-1.106.2}"
}

portkey() {
    mkdir -p "$work/portkey"
    npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$work/portkey" \
        "@portkey-ai/gateway@${PORTKEY:-1.15.2}"
}

[ $# -gt 0 ] || set -- litellm portkey
for peer in "$@"; do
    case "$peer" in
        litellm | portkey) echo "installing $peer …"; "$peer" ;;
        *) echo "unknown peer $peer: litellm, portkey" >&2; exit 2 ;;
    esac
done
