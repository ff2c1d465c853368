#!/usr/bin/env bash
# images.sh DIR: the images that pods of the tests run, as DIR/*.tar, from busybox alone: no registry is needed.
#   localhost/pause:1  the sandbox of every pod
#   localhost/app:1    an HTTP server on 8080 as user 65534: / answers "ok" at once, /cgi-bin/slow after two seconds
# An image is a tar of layer tars, a config and a manifest.
set -euo pipefail
dir=$1
mkdir -p "$dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $(uname -m) in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; *) architecture=$(uname -m) ;; esac

archive() { # NAME CONFIG: the tree at $work/NAME as $dir/NAME.tar
  local sum
  tar -C "$work/$1" --owner=0 --group=0 --numeric-owner --mtime=@0 --sort=name -cf "$work/layer.tar" .
  sum=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}\n' "$architecture" "$2" "$sum" > "$work/config.json"
  printf '[{"Config":"config.json","RepoTags":["localhost/%s:1"],"Layers":["layer.tar"]}]\n' "$1" > "$work/manifest.json"
  tar -C "$work" -cf "$dir/$1.tar" manifest.json config.json layer.tar
}

mkdir -p "$work/pause" "$work/app/bin" "$work/app/www/cgi-bin" "$work/app/tmp"
chmod 1777 "$work/app/tmp"
cp "$(command -v busybox)" "$work/pause/busybox"
cp "$(command -v busybox)" "$work/app/bin/busybox"
for applet in sh httpd sleep cat ls id; do ln -s busybox "$work/app/bin/$applet"; done
echo ok > "$work/app/www/index.html"
cat > "$work/app/www/cgi-bin/slow" <<'S'
#!/bin/sh
sleep 2
printf 'Content-Type: text/plain\r\n\r\nok\n'
S
chmod 755 "$work/app/www/cgi-bin/slow"
archive pause '{"Entrypoint":["/busybox","sleep","infinity"]}'
archive app '{"User":"65534","Env":["PATH=/bin"],"Cmd":["httpd","-f","-p","8080","-h","/www"]}'
