#!/bin/sh
# certs.sh DIR - make every certificate and key that the files in config/ name.
# Needs OpenSSL 3. Nothing here is worth keeping: the keys are made anew each time.
set -eu
dir=${1:?usage: certs.sh DIR}
mkdir -p "$dir"
cd "$dir"
log=openssl.log
: >"$log"

run() { openssl "$@" >>"$log" 2>&1 || { cat "$log" >&2; exit 1; }; }

# self NAME SAN: a self-signed certificate for NAME.key, which exists.
self() {
    run req -x509 -new -key "$1.key" -sha256 -days 3650 -subj "/CN=$1" \
        -addext "subjectAltName=$2" -out "$1.crt"
}
ec() { run genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:${2:-P-256}" -out "$1.key"; }

here="DNS:localhost,IP:127.0.0.1,IP:::1"

# The server's pair, and a second one whose key does not match the first.
ec server; self server "$here"
ec other; self other "$here"

# SEC 1, "BEGIN EC PRIVATE KEY", with an "EC PARAMETERS" block before it.
run ecparam -name prime256v1 -genkey -out ec.key
self ec "$here"

# P-384, P-521 and Ed25519.
ec p384 P-384; self p384 "$here"
ec p521 P-521; self p521 "$here"
run genpkey -algorithm ED25519 -out ed25519.key
self ed25519 "$here"

# RSA: PKCS #1 ("BEGIN RSA PRIVATE KEY") and the same key as PKCS #8.
run genrsa -traditional -out rsa.key 2048
self rsa "$here"
run pkcs8 -topk8 -nocrypt -in rsa.key -out rsa8.key

# A certificate authority for clients, a second one, and what they signed.
ca() {
    ec "$1"
    run req -x509 -new -key "$1.key" -sha256 -days 3650 -subj "/CN=$1" \
        -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" -out "$1.pem"
}
ca client-ca
ca client-ca-2
# signed NAME CA SAN USAGE DAYS
signed() {
    ec "$1"
    run req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    printf 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=%s\nsubjectAltName=%s\n' "$4" "$3" >"$1.ext"
    run x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -sha256 -days "$5" \
        -extfile "$1.ext" -out "$1.crt"
    rm -f "$1.csr" "$1.ext"
}
signed client client-ca "DNS:probe.example.org,IP:192.0.2.7,email:probe@example.org,URI:spiffe://example.org/probe" clientAuth 3650
signed stranger client-ca-2 "DNS:probe.example.org" clientAuth 3650
signed client-dns client-ca "DNS:else.example.org" clientAuth 3650

# A chain (leaf first), the same the wrong way round, and one whose second block is rubbish.
signed leaf client-ca "$here" serverAuth 3650
cat leaf.crt client-ca.pem >chain.crt
cat client-ca.pem leaf.crt >chain-reversed.crt
cat >broken.pem <<'PEM'
-----BEGIN CERTIFICATE-----
bm90IGEgY2VydGlmaWNhdGUsIG9ubHkgdGhlIGxvb2sgb2Ygb25lCg==
-----END CERTIFICATE-----
PEM
cat leaf.crt broken.pem >chain-broken.crt

# Bundles of authorities.
cat client-ca.pem client-ca-2.pem >client-ca-both.pem
cat broken.pem client-ca.pem >client-ca-partly.pem

# Expired two days ago.
ec expired
mkdir -p ca.tmp
: >ca.tmp/index.txt
echo 01 >ca.tmp/serial
cat >ca.tmp/conf <<CONF
[ca]
default_ca = own
[own]
database = ca.tmp/index.txt
serial = ca.tmp/serial
new_certs_dir = ca.tmp
default_md = sha256
policy = any
x509_extensions = server
[any]
commonName = supplied
[server]
subjectAltName = $here
CONF
run req -new -key expired.key -subj /CN=expired -out expired.csr
run ca -batch -notext -selfsign -config ca.tmp/conf -keyfile expired.key -in expired.csr \
    -startdate 20200101000000Z -enddate 20200201000000Z -out expired.crt
rm -rf ca.tmp expired.csr

# One file with both, in either order; a certificate behind the text that "openssl x509 -text" writes.
cat server.crt server.key >combined.pem
cat server.key server.crt >combined-key-first.pem
openssl x509 -in server.crt -text >text.crt 2>>"$log"

# What is no certificate or no usable key.
cat >junk.pem <<'PEM'
This file holds no certificate and no key.
PEM
: >empty.pem
run x509 -in server.crt -outform DER -out server.der
run pkcs8 -topk8 -v2 aes-256-cbc -passout pass:unimportant -in server.key -out encrypted.key
run pkey -in server.key -pubout -out public.key
cat >broken.key <<'PEM'
-----BEGIN PRIVATE KEY-----
bm90IGEga2V5LCBvbmx5IHRoZSBsb29rIG9mIG9uZQo=
-----END PRIVATE KEY-----
PEM

# A directory below, and a directory where a file is expected.
mkdir -p below directory.pem
cp server.crt server.key below/
rm -f "$log" ./*.srl
