#!/usr/bin/env bash
# build.sh FILE: builds promtool, which evaluates the chart's alerts, from the Go module of Prometheus and leaves a link to it as FILE. A module of its own like
# helm3's; kept in the cache folder like the rest. 2 to 4 minutes of two cores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$1
cache=${PROBEKEEPER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/probekeeper}
format=1 # raise it when what is built, or how, changes without a change of go.mod
key=$( (echo "$format"; cat "$here/go.mod" "$here/go.sum") | sha256sum | cut -c1-16)
store=$cache/promtool-$key

if [ ! -x "$store/promtool" ]; then
  mkdir -p "$store"
  exec 9> "$store/.lock"
  flock 9
fi
if [ ! -x "$store/promtool" ]; then
  go=$("$here/../go.sh")
  export CGO_ENABLED=0
  cd "$here"
  echo "building promtool into $store: 2 to 4 minutes with cold caches" >&2
  # Without service discovery: the clients of every cloud are most of Prometheus.
  "$go" build -trimpath -tags remove_all_sd -ldflags "-s -w" -o "$store/promtool.partial" github.com/prometheus/prometheus/cmd/promtool
  mv "$store/promtool.partial" "$store/promtool"
fi
ln -sfn "$store/promtool" "$out"
