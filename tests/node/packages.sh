#!/usr/bin/env bash
# packages.sh [--install]: what a node needs of this machine. Exit code 0 when all is there; else one line that says what is missing, and 3.
# --install first gets the missing Debian packages when root.
set -euo pipefail

# COMMAND:PACKAGE; paths are looked at as they are.
needs=(containerd:containerd ctr:containerd runc:runc /usr/lib/cni/bridge:containernetworking-plugins ip:iproute2 unshare:util-linux setpriv:util-linux busybox:busybox-static openssl:openssl)

missing() {
  local need
  for need in "${needs[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${need%%:*}" > /dev/null || echo "${need##*:}"
  done | sort -u | tr '\n' ' '
}

if [ "$(uname -s)" != Linux ]; then
  echo "probekeeper: no node here: it needs Linux" >&2
  exit 3
fi
if [ "$(id -u)" != 0 ]; then
  echo "probekeeper: no node here: it needs root (namespaces, containerd, kubelet)" >&2
  exit 3
fi
# A container may be root without being allowed what a node does.
if ! unshare --mount --pid --net --fork true 2> /dev/null; then
  echo "probekeeper: no node here: root may not make namespaces on this machine (a container without --privileged?)" >&2
  exit 3
fi
lacking=$(missing)
if [ -n "$lacking" ] && [ "${1:-}" = --install ] && command -v apt-get > /dev/null; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  echo "installing $lacking" >&2
  # shellcheck disable=SC2086 # one word each
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $lacking; } > "$log" 2>&1; then
    tail -n 5 "$log" >&2
  fi
  lacking=$(missing)
fi
if [ -n "$lacking" ]; then
  echo "probekeeper: no node here: missing ${lacking% }; on Debian and Ubuntu: apt-get install $lacking" >&2
  exit 3
fi
# A static busybox: it is the whole of the test images.
if ! busybox true || { command -v ldd > /dev/null && ldd "$(command -v busybox)" > /dev/null 2>&1; }; then
  echo "probekeeper: no node here: busybox is linked dynamically; on Debian and Ubuntu: apt-get install busybox-static" >&2
  exit 3
fi
