#!/usr/bin/env bash
# init.sh DIR: pid 1 of the node's own pid, mount and network namespaces. When it ends, the kernel ends everything in them.
set -euo pipefail
dir=$1
# shellcheck source=/dev/null # written by up.sh
. "$dir/settings"

# What daemons write to fixed places goes to memory that ends with this mount namespace.
mount -n --make-rshared /
for folder in /run /var/lib /var/log; do mount -n -t tmpfs -o mode=755 node "$folder"; done
# The kubelet insists on these and would change the machine's: it is shown files with the values that it wants.
while read -r path value; do
  [ -e "/proc/sys/$path" ] || continue
  file=$dir/sysctl.${path//\//.}
  echo "$value" > "$file"
  mount -n --bind "$file" "/proc/sys/$path"
done <<S
vm/overcommit_memory 1
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
S
# A bridge with the node's address, on which every pod gets its own; the address of the "kubernetes" Service is simply local.
for interface in all default; do
  [ ! -e "/proc/sys/net/ipv6/conf/$interface/disable_ipv6" ] || echo 1 > "/proc/sys/net/ipv6/conf/$interface/disable_ipv6"
done
echo 1 > /proc/sys/net/ipv4/ip_forward
ip link set lo up
ip address add "$cluster_ip/32" dev lo
ip link add cni0 address 02:00:00:00:01:01 type bridge
ip address add "$node_ip/24" dev cni0
ip link set cni0 up
touch "$dir/namespaces-ready"

component() { bash "$here/component.sh" "$dir" "$@"; }
component start containerd etcd kube-apiserver kube-controller-manager kube-scheduler
until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done
for image in "$dir"/images/*.tar; do
  ctr -n k8s.io images import "$image" >> "$dir/log/images.log" 2>&1 ||
    { echo "cannot import $image"; tail -n 3 "$dir/log/images.log"; exit 1; }
done
component start kubelet
touch "$dir/images-ready"
# What is left without a parent becomes ours: bash reaps it.
while :; do
  wait -n || true
  sleep 0.2 || true # killed by a crash
done
