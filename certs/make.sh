#!/usr/bin/env bash
# make.sh [DIR [NAME...]]: certificates for development, as PEM files in DIR (default: certs/dev, which git ignores).
#   ca.crt ca.key           signs the two below; kept while it is valid for another month, so that what trusts it goes on doing so
#   tls.crt tls.key         for `probekeeper serve --tls files:`, under each NAME (default: localhost 127.0.0.1 ::1)
#   client.crt client.key   for whoever calls it where clients must show a certificate, with the common name kube-apiserver
# Needs openssl 1.1.1 or later. The keys are not encrypted and stand beside the CA's: not for production.
set -euo pipefail
umask 077
command -v openssl > /dev/null || { echo "make.sh: openssl is missing: install it" >&2; exit 1; }
here=$(dirname "${BASH_SOURCE[0]}")
dir=${1:-$here/dev}
[ $# = 0 ] || shift
[ $# -gt 0 ] || set -- localhost 127.0.0.1 ::1

alt=
for name in "$@"; do
  case $name in
    *[!a-zA-Z0-9.:*-]* | '') echo "make.sh: \`$name\` is neither a DNS name nor an address" >&2; exit 1 ;;
    *:*) alt=$alt,IP:$name ;;
    *[!0-9.]*) alt=$alt,DNS:$name ;;
    *) alt=$alt,IP:$name ;;
  esac
done

mkdir -p "$dir"
work=$(mktemp -d "$dir/.make.XXXXXX")
trap 'rm -rf "$work"' EXIT
cat > "$work/openssl.cnf" <<C
[req]
distinguished_name = dn
prompt = no
[dn]
commonName = unused
[authority]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[tls]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = ${alt#,}
[client]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
C
quietly() { "$@" 2> "$work/said" || { cat "$work/said" >&2; echo "make.sh: openssl failed: see above" >&2; exit 1; }; }
request() { # COMMON-NAME KEY REST...
  local name=$1 key=$2
  shift 2
  quietly openssl req -new -config "$work/openssl.cnf" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$key" "$@"
}

if ! openssl x509 -in "$dir/ca.crt" -noout -checkend 2592000 > /dev/null 2>&1 || [ ! -s "$dir/ca.key" ]; then
  request "probekeeper development CA" "$work/ca.key" -x509 -extensions authority -days 365 -out "$work/ca.crt"
  mv "$work/ca.key" "$work/ca.crt" "$dir"
fi
leaf() { # FILE COMMON-NAME
  request "$2" "$work/$1.key" -out "$work/$1.csr"
  quietly openssl x509 -req -in "$work/$1.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
    -days 30 -extfile "$work/openssl.cnf" -extensions "$1" -out "$work/$1.crt"
  mv "$work/$1.key" "$work/$1.crt" "$dir"
}
leaf tls probekeeper
leaf client kube-apiserver
echo "$dir: ca.crt tls.crt tls.key client.crt client.key"
