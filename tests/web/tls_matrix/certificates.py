"""Makes every certificate and key that the groups need, by openssl: good ones, and ones with one thing wrong.
All are made anew for each run, in the folder context.PKI."""

import os
import random
import shlex
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import context


def openssl(*args, stdin=None):
    done = subprocess.run(["openssl", *args], cwd=context.PKI, input=stdin, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"openssl {shlex.join(args)}: {done.stderr.decode()}")
    return done.stdout


def read(name):
    with open(f"{context.PKI}/{name}") as f:
        return f.read()


def write(path, text):
    """Replaces a file in one step, as ConfigMaps and careful operators do."""
    with open(path + ".new", "w") as f:
        f.write(text)
    os.replace(path + ".new", path)


def make_key(name, kind="P-256"):
    how = {"rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "ed25519": ["ED25519"]}.get(
        kind, ["EC", "-pkeyopt", f"ec_paramgen_curve:{kind}"])
    openssl("genpkey", "-algorithm", *how, "-out", f"{name}.key")


def make(name, issuer=None, key="P-256", ext=(), dates=None, v1=False):
    """Makes name.key and name.pem, signed by issuer (itself when None). dates: (start, end), YYYYMMDD."""
    make_key(name, key)
    openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
    if v1:
        sign = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key"] if issuer else ["-signkey", f"{name}.key"]
        openssl("x509", "-req", "-in", f"{name}.csr", *sign, "-set_serial", str(random.getrandbits(63)),
                "-days", "30", "-out", f"{name}.pem")
        return
    # `openssl ca` because `openssl x509` of OpenSSL 3.0 makes no expired certificates
    write(f"{context.PKI}/{name}.cnf", "[ca]\ndefault_ca=d\n[d]\n"
          f"database={name}.db\nserial={name}.srl\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
          "x509_extensions=e\nunique_subject=no\n[p]\ncommonName=supplied\n[e]\n" + "\n".join(ext) + "\n")
    write(f"{context.PKI}/{name}.db", "")
    write(f"{context.PKI}/{name}.srl", "%016X" % random.getrandbits(62) + "\n")
    start, end = dates or (time.strftime("%Y%m%d", time.gmtime(time.time() - 86400)), "20990101")
    sign = ["-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key"] if issuer else [
        "-selfsign", "-keyfile", f"{name}.key"]
    openssl("ca", "-batch", "-notext", "-config", f"{name}.cnf", "-in", f"{name}.csr", *sign,
            "-startdate", start + "000000Z", "-enddate", end + "000000Z", "-out", f"{name}.pem")


def make_certificates():
    ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign",
          "subjectKeyIdentifier=hash"]
    leaf = ["basicConstraints=critical,CA:FALSE", "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]
    server = leaf + ["extendedKeyUsage=serverAuth", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    client = leaf + ["extendedKeyUsage=clientAuth"]
    eku = lambda what: leaf + [f"extendedKeyUsage={what}"]
    san = lambda what: client + [f"subjectAltName={what}"]
    for name in "serverca", "ca", "otherca":
        make(name, ext=ca)
    make("inter", "ca", ext=ca)
    make("serverinter", "serverca", ext=ca)
    make("otherinter", "otherca", ext=ca)
    make("expiredca", ext=ca, dates=("20200101", "20210101"))
    make("v1ca", v1=True)
    jobs = [
        ("server", "serverca", dict(ext=server)), ("server2", "serverca", dict(ext=server)),
        ("rsaserver", "serverca", dict(ext=server, key="rsa")),
        ("p384server", "serverca", dict(ext=server, key="P-384")),
        ("p521server", "serverca", dict(ext=server, key="P-521")),
        ("edserver", "serverca", dict(ext=server, key="ed25519")),
        ("chainserver", "serverinter", dict(ext=server)),
        ("signed", "ca", dict(ext=client)), ("chained", "inter", dict(ext=client)),
        ("othersigned", "otherca", dict(ext=client)),
        ("expired", "ca", dict(ext=client, dates=("20200101", "20210101"))),
        ("future", "ca", dict(ext=client, dates=("20900101", "20990101"))),
        ("servereku", "ca", dict(ext=eku("serverAuth"))),
        ("bothekus", "ca", dict(ext=eku("serverAuth,clientAuth"))),
        ("anyeku", "ca", dict(ext=eku("anyExtendedKeyUsage"))),
        ("v1", "ca", dict(v1=True)), ("rsa", "ca", dict(ext=client, key="rsa")),
        ("ed25519", "ca", dict(ext=client, key="ed25519")), ("p521", "ca", dict(ext=client, key="P-521")),
        ("critical", "ca", dict(ext=client + ["1.2.3.4.5=critical,ASN1:UTF8String:x"])),
        ("caissuing", "ca", dict(ext=ca)),
        ("selfleaf", None, dict(ext=leaf[:2])),
        ("selfexpired", None, dict(ext=ca[:1], dates=("20200101", "20210101"))),
        ("selfserver", None, dict(ext=ca[:1] + ["extendedKeyUsage=serverAuth"])),
        ("pinned", "otherca", dict(ext=client)), ("underinter", "otherinter", dict(ext=client)),
        ("underexpired", "expiredca", dict(ext=client)),
        ("v1self", None, dict(v1=True)), ("underv1", "v1ca", dict(ext=client[:1] + client[3:])),
        ("san_dns", "ca", dict(ext=san("DNS:client.example.org"))),
        ("san_ip4", "ca", dict(ext=san("IP:10.1.2.3"))),
        ("san_ip6", "ca", dict(ext=san("IP:2001:db8::7"))),
        ("san_mapped", "ca", dict(ext=san("IP:::ffff:10.9.9.9"))),
        ("san_email", "ca", dict(ext=san("email:robot@example.org"))),
        ("san_uri", "ca", dict(ext=san("URI:spiffe://example.org/robot"))),
        ("san_many", "ca", dict(ext=san("DNS:first.example,email:second@example.org,DNS:client.example.org"))),
        ("san_other", "otherca", dict(ext=san("DNS:client.example.org"))),
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda j: make(j[0], j[1], **j[2]), jobs))
    # exactly what an operator types for a quick client certificate that is its own CA
    for name in "selfca", "otherself":
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                f"{name}.key", "-out", f"{name}.pem", "-days", "30", "-subj", f"/CN={name}")
    # the same keys in the forms that tools write
    openssl("ec", "-in", "server.key", "-out", "sec1.key")
    openssl("rsa", "-in", "rsaserver.key", "-traditional", "-out", "pkcs1.key")
    params = openssl("ecparam", "-name", "prime256v1").decode()
    write(f"{context.PKI}/sec1params.key", params + read("sec1.key"))          # as openssl ecparam -genkey writes it
    write(f"{context.PKI}/together.pem", read("server.pem") + read("server.key"))   # both in one file
    write(f"{context.PKI}/chainserver.pem", read("chainserver.pem") + read("serverinter.pem"))
    write(f"{context.PKI}/text.pem", openssl("x509", "-in", "server.pem", "-text").decode())
    write(f"{context.PKI}/chained_alone.pem", read("chained.pem"))
    shutil.copy(f"{context.PKI}/chained.key", f"{context.PKI}/chained_alone.key")
    write(f"{context.PKI}/chained.pem", read("chained.pem") + read("inter.pem"))
    # a bundle with comments between, as distributions' bundles have
    write(f"{context.PKI}/bundle.pem", "# the CA\n" + read("ca.pem") + "\n# its own CA\n" + read("selfca.pem"))
    write(f"{context.PKI}/odd.pem", "".join(read(f"{n}.pem") for n in (
        "ca", "selfleaf", "selfexpired", "selfserver", "pinned", "otherinter", "expiredca")))
    write(f"{context.PKI}/junk.pem", "no certificate here\n")
    for name in ("v1", "v1self"):
        if b"Version: 1" not in openssl("x509", "-in", f"{name}.pem", "-noout", "-text"):
            raise RuntimeError("this openssl makes no v1 certificates any more (3.0 does): tell so in CLIENTS")
