#!/usr/bin/env bash
# build.sh [--cluster] [DIR]: builds etcd, the Kubernetes control plane, kubelet, kube-proxy, kubectl and helm from their Go modules, and leaves them as DIR/bin
# (default: target/controlplane). The binaries are kept in a cache folder named after the pinned versions, so that a second clone takes seconds.
# Helm 3, which the chart is tested with too, and promtool, which evaluates its alerts, are left beside it as DIR/helm3 and DIR/promtool; not with
# --cluster, for whoever only wants to start one.
# KUBEBUILDER_ASSETS, where set, names a folder of ready binaries that is used instead; nothing is built then.
#
# 8 to 14 minutes of two cores with cold caches. The version stamp matters: unstamped binaries call themselves v0.0.0-master and helm then refuses
# charts that name a kubeVersion. One CGO setting for all, or the standard library is built twice.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
extras=yes
if [ "${1:-}" = --cluster ]; then
  extras=no
  shift
fi
out=${1:-$here/../../target/controlplane}
mkdir -p "$out"
if [ "$extras" = yes ]; then
  "$here/helm3/build.sh" "$out/helm3"
  "$here/promtool/build.sh" "$out/promtool"
fi
cache=${PROBEKEEPER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/probekeeper}
format=1 # raise it when what is built, or how, changes without a change of go.mod
key=$( (echo "$format"; cat "$here/go.mod" "$here/go.sum") | sha256sum | cut -c1-16)
store=$cache/controlplane-$key
binaries=(etcd kube-apiserver kube-controller-manager kube-scheduler kubectl helm kubelet kube-proxy)

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  [ -d "$KUBEBUILDER_ASSETS" ] || { echo "probekeeper: KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS is not a folder: unset it to build the control plane" >&2; exit 1; }
  for b in etcd kube-apiserver kube-controller-manager kubectl; do
    [ -x "$KUBEBUILDER_ASSETS/$b" ] || { echo "probekeeper: $b is missing in KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS: add it, or unset the variable to build all" >&2; exit 1; }
  done
  mkdir -p "$out"
  ln -sfn "$(cd "$KUBEBUILDER_ASSETS" && pwd)" "$out/bin"
  exit 0
fi

complete() { local b; for b in "${binaries[@]}"; do [ -x "$store/$b" ] || return 1; done; }

if ! complete; then
  # Two builds at once would only slow each other down; the second waits, then finds the work done.
  mkdir -p "$store"
  exec 9> "$store/.lock"
  flock 9
fi
if ! complete; then
  go=$("$here/go.sh")
  cd "$here"
  export CGO_ENABLED=0
  version=$("$go" list -m -f '{{.Version}}' k8s.io/kubernetes)
  stamp=k8s.io/component-base/version
  ldflags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=$(echo "$version" | cut -d. -f2)"
  ldflags="$ldflags -X $stamp.gitTreeState=clean -X $stamp.gitCommit=module -X $stamp.buildDate=1970-01-01T00:00:00Z"
  echo "building the control plane (Kubernetes $version) into $store: 8 to 14 minutes with cold caches" >&2
  n=0
  for b in "${binaries[@]}"; do
    n=$((n + 1))
    [ ! -x "$store/$b" ] || continue
    case $b in
      etcd) package=go.etcd.io/etcd/server/v3 flags="-s -w" ;;
      helm) package=helm.sh/helm/v4/cmd/helm flags="-s -w" ;;
      *) package=k8s.io/kubernetes/cmd/$b flags=$ldflags ;;
    esac
    start=$SECONDS
    echo "  [$n/${#binaries[@]}] $b ..." >&2
    "$go" build -trimpath -ldflags "$flags" -o "$store/$b.partial" "$package"
    mv "$store/$b.partial" "$store/$b"
    echo "  [$n/${#binaries[@]}] $b: $((SECONDS - start)) s" >&2
  done
fi
mkdir -p "$out"
ln -sfn "$store" "$out/bin"
