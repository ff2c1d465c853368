#!/usr/bin/env bash
# image.sh [--bin FILE] [--output FILE] [--tag REFERENCE]: the container image of Dockerfile as a docker-archive (`docker load`, `ctr images import`), made from
# local files alone: no registry and no container tool is needed. By default builds the release binary into target/image/probekeeper.tar.
#
# The same binary gives the same bytes: files are sorted, owned by root and as old as SOURCE_DATE_EPOCH (default: 1970). Two layers: what Dockerfile takes
# from its base (this machine's C library in place of the base's), and the binary. Prints the size, and fails above the limit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
limit=$((25 * 1024 * 1024)) # compressed bytes of the binary's layer
binary='' output=target/image/probekeeper.tar tag=localhost/probekeeper:dev
fail() { echo "probekeeper: $*" >&2; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in
    --bin) binary=${2:?} ;;
    --output) output=${2:?} ;;
    --tag) tag=${2:?} ;;
    *) fail "unknown argument $1; usage: image.sh [--bin FILE] [--output FILE] [--tag REFERENCE]" ;;
  esac
  shift 2
done
for tool in tar gzip sha256sum ldd; do command -v "$tool" > /dev/null || fail "$tool is missing on this machine"; done
tar --version | grep -q 'GNU tar' || fail "GNU tar is missing on this machine: other tars cannot sort and stamp"
case $(uname -s)-$(uname -m) in
  Linux-x86_64) architecture=amd64 ;;
  Linux-aarch64) architecture=arm64 ;;
  *) fail "an image is built on Linux, x86_64 or aarch64, not on $(uname -s) $(uname -m)" ;;
esac

if [ -z "$binary" ]; then
  # Panics name source files: without this, the dependencies' with this machine's folders (our own are named from here on). Other flags mean compiling all
  # anew, hence a folder of its own; and none may name this folder, so that another clone can use what is compiled.
  export RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  folder=${CARGO_TARGET_DIR:-target}/image
  "${CARGO:-cargo}" build --locked --release --bin probekeeper --target-dir "$folder"
  binary=$folder/release/probekeeper
fi
[ -x "$binary" ] || fail "$binary is missing"

work=$(mktemp -d "${TMPDIR:-/tmp}/probekeeper-image.XXXXXX")
trap 'rm -rf "$work"' EXIT
base=$work/base top=$work/top
mkdir -p "$base"/{etc,home/nonroot,tmp} "$top/usr/local/bin"
echo 'root:x:0:0:root:/root:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' > "$base/etc/passwd"
echo 'root:x:0:
nonroot:x:65532:' > "$base/etc/group"
echo 'hosts: files dns' > "$base/etc/nsswitch.conf"
# The loader and every library, where the loader looks for them.
libraries=$(ldd "$binary") || fail "$binary is not a program of this machine"
[[ $libraries != *"not found"* ]] || fail "a library of $binary is missing: $libraries"
while read -r file; do
  mkdir -p "$base$(dirname "$file")"
  cp --dereference "$file" "$base$file"
done < <(sed -n -e 's/^.* => \(\/[^ ]*\) .*/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' <<< "$libraries" | sort -u)
# The API server's authority comes with the service account; these are for a kubeconfig that names a public one.
certificates=/etc/ssl/certs/ca-certificates.crt
if [ -r "$certificates" ]; then
  mkdir -p "$base/etc/ssl/certs"
  cp "$certificates" "$base$certificates"
fi
cp "$binary" "$top/usr/local/bin/probekeeper"
chmod -R u=rwX,go=rX "$base" "$top"
chmod 755 "$top/usr/local/bin/probekeeper"
chmod 1777 "$base/tmp"

epoch=${SOURCE_DATE_EPOCH:-0}
pack() { # FOLDER ARCHIVE [FILE...]
  local folder=$1 archive=$2
  shift 2
  tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" --format=ustar -cf "$archive" "${@:-.}"
}
sum() { sha256sum "$1" | cut -d' ' -f1; }
out=$work/out
mkdir "$out"
layers=() ids=()
for layer in base top; do
  pack "$work/$layer" "$work/$layer.tar"
  id=$(sum "$work/$layer.tar")
  mv "$work/$layer.tar" "$out/$id.tar"
  layers+=("\"$id.tar\"") ids+=("\"sha256:$id\"")
done
join() { local IFS=,; echo "$*"; }
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
cat > "$work/config.json" <<J
{"architecture":"$architecture","os":"linux","created":"$created","config":{"User":"65532:65532","WorkingDir":"/","Env":["PATH=/usr/local/bin:/usr/bin:/bin","SSL_CERT_FILE=$certificates"],"Entrypoint":["/usr/local/bin/probekeeper"],"Cmd":["serve"],"ExposedPorts":{"8081/tcp":{},"8443/tcp":{}},"Labels":{"org.opencontainers.image.title":"probekeeper","org.opencontainers.image.version":"$version","org.opencontainers.image.licenses":"Apache-2.0"}},"rootfs":{"type":"layers","diff_ids":[$(join "${ids[@]}")]}}
J
config=$(sum "$work/config.json").json
mv "$work/config.json" "$out/$config"
echo "[{\"Config\":\"$config\",\"RepoTags\":[\"$tag\"],\"Layers\":[$(join "${layers[@]}")]}]" > "$out/manifest.json"

size=$(gzip -9 -n < "$out/${id}.tar" | wc -c)
[ "$size" -le "$limit" ] || fail "the image takes $size bytes compressed beside its base, above the limit of $limit"
mkdir -p "$(dirname "$output")"
chmod 644 "$out"/*
pack "$out" "$work/image.tar" manifest.json "$config" "${layers[@]//\"/}"
mv "$work/image.tar" "$output"
mib() { awk -v bytes="$1" 'BEGIN { printf "%.1f MiB", bytes / 1048576 }'; }
echo "$output: $tag, $architecture, $(mib "$size") compressed beside the base, $(mib "$(wc -c < "$output")") in all"
