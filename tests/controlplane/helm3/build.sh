#!/usr/bin/env bash
# build.sh FILE: builds Helm 3 from its Go module and leaves a link to it as FILE. It has dependencies of its own, hence a module of its own; kept in the
# cache folder like the rest. 2 to 3 minutes of two cores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$1
cache=${PROBEKEEPER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/probekeeper}
format=1 # raise it when what is built, or how, changes without a change of go.mod
key=$( (echo "$format"; cat "$here/go.mod" "$here/go.sum") | sha256sum | cut -c1-16)
store=$cache/helm3-$key

if [ ! -x "$store/helm3" ]; then
  mkdir -p "$store"
  exec 9> "$store/.lock"
  flock 9
fi
if [ ! -x "$store/helm3" ]; then
  go=$("$here/../go.sh")
  module=helm.sh/helm/v3
  export CGO_ENABLED=0
  cd "$here"
  version=$("$go" list -m -f '{{.Version}}' $module)
  minor=$("$go" list -m -f '{{.Version}}' k8s.io/client-go | cut -d. -f2)
  # As in Helm's Makefile: without this stamp `helm template` takes every cluster for Kubernetes 1.20.
  ldflags="-s -w -X $module/internal/version.version=$version"
  for package in pkg/chartutil pkg/lint/rules; do
    ldflags="$ldflags -X $module/$package.k8sVersionMajor=1 -X $module/$package.k8sVersionMinor=$minor"
  done
  echo "building Helm 3 ($version) into $store: 2 to 3 minutes with cold caches" >&2
  "$go" build -trimpath -ldflags "$ldflags" -o "$store/helm3.partial" $module/cmd/helm
  mv "$store/helm3.partial" "$store/helm3"
fi
ln -sfn "$store/helm3" "$out"
