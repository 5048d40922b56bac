#!/usr/bin/env python3
"""Black-box test of an HTTP server's --web.config.file (exporter-toolkit format) with real clients.

    tls_matrix.py --server '<command with {config} and {port}>' [--path /metrics] [--only GLOB] [--flavour rustls|go]

In the command, {config} is the web configuration file, {port} the port to listen on at 127.0.0.1 and
{dir} an empty folder of that server. E.g. the real toolkit:

    tls_matrix.py --flavour go --server 'prometheus --web.config.file={config}
        --web.listen-address=127.0.0.1:{port} --config.file=prometheus.yml --storage.tsdb.path={dir}/data'

Clients: curl and openssl (and a Python keep-alive connection where one connection must outlive a change).
A group is one configuration and one server; a case is one probe with a hand-written expectation.
The expectations are what the toolkit does (its HEAD); DIFFERS lists, with the reason, where a flavour
may or must answer otherwise. Prints a line per case; exit 1 on a failure.
"""
import argparse, base64, fnmatch, http.client, os, random, re, shlex, shutil, socket, ssl, subprocess, sys
import tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor

REFUSED = "refused"              # TLS handshake refused, or the connection closed without an answer
NO_START = "start refused"       # the server ended by itself with a status other than 0
BROKEN = (REFUSED, "500")

# ---------------------------------------------------------------------------------------------------
# Where a flavour differs: (flavour, glob over "group/case", allowed answers or None to skip, reason).
# The first match counts.
# ---------------------------------------------------------------------------------------------------
OLD = "toolkit 0.8.2 (Debian's prometheus 2.42) does not know this field"
DIFFERS = [
    ("go", "inline*/*", None, OLD),
    ("go", "sans*/*", None, OLD),
    ("go", "rate_*/*", None, OLD),
    ("go", "prefer_client/*", ("ECDHE-RSA-AES128-GCM-SHA256",),
     "Go since 1.17 ignores prefer_server_cipher_suites and orders by its own list: AES-128 first"),
    ("go", "prefer_server/*", ("ECDHE-RSA-AES128-GCM-SHA256",),
     "Go since 1.17 ignores prefer_server_cipher_suites and the order of cipher_suites"),
    ("rustls", "old_versions/TLS 1.[01]*", (REFUSED,), "rustls has neither TLS 1.0 nor 1.1"),
    ("rustls", "old_only/*", (REFUSED, NO_START), "rustls has neither TLS 1.0 nor 1.1: nothing is left to offer"),
    ("rustls", "cbc/*", (REFUSED, NO_START), "rustls has neither CBC suites nor RSA key exchange"),
    ("rustls", "curves_521/*", (REFUSED, NO_START, "secp521r1"), "rustls has no key exchange over P-521"),
    ("rustls", "min_over_max/*", (REFUSED, NO_START), "an empty range: to refuse the start is as good"),
    ("rustls", "only_1_3_suites/TLS 1.2", (REFUSED, NO_START), "to refuse the start would be as good"),
    ("rustls", "ca_junk/*", (REFUSED, NO_START), "no certificate in client_ca_file: Go starts and trusts nobody"),
    ("rustls", "bad_http2_suites/*", (NO_START, "200"), "only Go's HTTP/2 package insists on AES_128_GCM_SHA256"),
    ("rustls", "break_tls/new connection*", BROKEN, "either is a refusal that monitoring sees"),
    ("rustls", "broken_pair/*broken", BROKEN, "either is a refusal that monitoring sees"),
    ("rustls", "tls_removed/TLS after", BROKEN, "either is a refusal"),
    ("rustls", "rate_limit/request 6 has no extra headers", ("429 deny",), "every answer has the configured headers"),
    ("rustls", "new_certificate/the connection from before goes on", ("200", REFUSED),
     "a connection under other TLS settings ends after its answer: clients that may not connect any more are gone"),
    ("rustls", "change_versions/http2: false does not count before a restart", ("1.1 200",), "it counts at once"),
    ("rustls", "tls_added/the file is read", ("400 absent",), "TLS that is added counts at once"),
    ("rustls", "tls_added/plain after", ("400",), "TLS that is added counts at once"),
    ("rustls", "tls_added/no TLS after", ("200",), "TLS that is added counts at once"),
]

# ---------------------------------------------------------------------------------------------------
# Client certificates x modes. "+" = HTTP 200 arrives, "-" = refused; TLS 1.2 and 1.3 must agree.
# Any* modes check no chain at all, so whatever has a usable key passes.
# ---------------------------------------------------------------------------------------------------
MODES = ["NoClientCert", "RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven",
         "RequireAndVerifyClientCert"]
CLIENTS = """
none              + + - + -  no certificate
signed            + + + + +  signed by the CA
chained           + + + + +  signed by an intermediate that is sent along
chained_alone     + + + - -  signed by an intermediate that is not sent along
selfca            + + + + +  self-signed, CA:TRUE, and itself in client_ca_file
othersigned       + + + - -  signed by a CA that is not in client_ca_file
otherself         + + + - -  self-signed, CA:TRUE, not in client_ca_file
expired           + + + - -  signed by the CA, expired
future            + + + - -  signed by the CA, not yet valid
servereku         + + + - -  signed by the CA, extendedKeyUsage serverAuth alone
bothekus          + + + + +  extendedKeyUsage serverAuth and clientAuth
anyeku            + + + + +  extendedKeyUsage anyExtendedKeyUsage
v1                + + + + +  X.509 v1, signed by the CA (openssl x509 -req without -extfile)
rsa               + + + + +  RSA 2048 key
ed25519           + + + + +  Ed25519 key
p521              + + + + +  P-521 key
critical          + + + - -  an unknown critical extension
caissuing         + + + + +  signed by the CA and itself CA:TRUE
"""
# These are trusted by being in client_ca_file in some unusual way; mode RequireAndVerifyClientCert.
ODD_ANCHORS = """
selfleaf          +  self-signed, CA:FALSE, itself in client_ca_file
selfexpired       -  self-signed, expired, itself in client_ca_file
selfserver        -  self-signed with serverAuth EKU alone, itself in client_ca_file
pinned            +  signed by an unknown CA, but the leaf itself is in client_ca_file
underinter        +  signed by an intermediate that is itself in client_ca_file, its root is not
underexpired      -  signed by an expired CA in client_ca_file
v1self            +  X.509 v1, self-signed, itself in client_ca_file
underv1           +  signed by an X.509 v1 CA in client_ca_file
othersigned       -  signed by a CA that is not in client_ca_file
"""

# bcrypt, cost 4 so that the run is fast; made with libxcrypt, the three prefixes that tools write
USERS = {
    "alice": ("correct horse", "$2y$04$4n59A5bkitin16Aksieffuskx9FlGV9iBPtu1ovhKvniELRBSmHsO"),
    "bob": ("pa:ss:word", "$2b$04$Dc8/lcoEhrykjc26AjvB6uhE3SuCLUv7S4zbZfrCFAS0G.nnUhhq2"),
    "jürgen": ("pässwörd€", "$2a$04$4abfftnq01wvlh14a0raiu6n3NmX0xU6pupaAjpPRYR5MuFvbPk0a"),
    "empty": ("", "$2y$04$jAcnneaAi4q6w.1Fw4oDjuNdUaRwnXRbPoNe2DlAplBWc/Gt0wGw6"),
    "long": ("a" * 72 + "bcdefgh", "$2b$04$BnuCp1kqCmylb57ah2mu8ul3eDVVsEvUrVyzch1QAC4xXgn83h6ja"),
    "": ("nameless", "$2y$04$dw34cnj1Bnc5vs/CBrxr9uOlrosqilFS//exUnMknCgbHIkxMcf2a"),
}
SECOND = "$2y$04$w2ul5EcBvtrC2EDE/Dwbhu1v2Qi16QHo66.EGGWPSxoPYzBed3BgO"  # of the password "second"
def users_yaml(*names):
    return "basic_auth_users:\n" + "".join(f'  "{n}": {USERS[n][1]}\n' for n in names or USERS)

HEADERS = {
    "Content-Security-Policy": "default-src 'self'",
    "X-Frame-Options": "deny",
    "X-Content-Type-Options": "nosniff",
    "X-XSS-Protection": "1; mode=block",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
HEADERS_YAML = "http_server_config:\n  headers:\n" + "".join(f'    {k}: "{v}"\n' for k, v in HEADERS.items())

# "@/" stands for the folder with the certificates
EC = "tls_server_config:\n  cert_file: @/server.pem\n  key_file: @/server.key\n"
RSA = "tls_server_config:\n  cert_file: @/rsaserver.pem\n  key_file: @/rsaserver.key\n"
VERIFY = EC + "  client_auth_type: RequireAndVerifyClientCert\n"
NO_H2 = "http_server_config:\n  http2: false\n"
def suites(*names):
    return "  cipher_suites:\n" + "".join(f"  - TLS_{n}\n" for n in names)
def curves(*names):
    return "  curve_preferences:\n" + "".join(f"  - {n}\n" for n in names)

ARGS = None
PKI = None       # folder with the certificates

# ---------------------------------------------------------------------------------------------------
# Certificates
# ---------------------------------------------------------------------------------------------------
def openssl(*args, stdin=None):
    done = subprocess.run(["openssl", *args], cwd=PKI, input=stdin, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"openssl {shlex.join(args)}: {done.stderr.decode()}")
    return done.stdout

def read(name):
    with open(f"{PKI}/{name}") as f:
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
    write(f"{PKI}/{name}.cnf", "[ca]\ndefault_ca=d\n[d]\n"
          f"database={name}.db\nserial={name}.srl\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
          "x509_extensions=e\nunique_subject=no\n[p]\ncommonName=supplied\n[e]\n" + "\n".join(ext) + "\n")
    write(f"{PKI}/{name}.db", "")
    write(f"{PKI}/{name}.srl", "%016X" % random.getrandbits(62) + "\n")
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
    write(f"{PKI}/sec1params.key", params + read("sec1.key"))          # as openssl ecparam -genkey writes it
    write(f"{PKI}/together.pem", read("server.pem") + read("server.key"))   # both in one file
    write(f"{PKI}/chainserver.pem", read("chainserver.pem") + read("serverinter.pem"))
    write(f"{PKI}/text.pem", openssl("x509", "-in", "server.pem", "-text").decode())
    write(f"{PKI}/chained_alone.pem", read("chained.pem")); shutil.copy(f"{PKI}/chained.key", f"{PKI}/chained_alone.key")
    write(f"{PKI}/chained.pem", read("chained.pem") + read("inter.pem"))
    # a bundle with comments between, as distributions' bundles have
    write(f"{PKI}/bundle.pem", "# the CA\n" + read("ca.pem") + "\n# its own CA\n" + read("selfca.pem"))
    write(f"{PKI}/odd.pem", "".join(read(f"{n}.pem") for n in
                                    ("ca", "selfleaf", "selfexpired", "selfserver", "pinned", "otherinter", "expiredca")))
    write(f"{PKI}/junk.pem", "no certificate here\n")
    for name in ("v1", "v1self"):
        if b"Version: 1" not in openssl("x509", "-in", f"{name}.pem", "-noout", "-text"):
            raise RuntimeError("this openssl makes no v1 certificates any more (3.0 does): tell so in CLIENTS")

# ---------------------------------------------------------------------------------------------------
# A server
# ---------------------------------------------------------------------------------------------------
ports, ports_lock = set(), threading.Lock()
def free_port():
    # below the ephemeral range: there a waiting connect() can meet itself
    while True:
        with ports_lock, socket.socket() as s:
            port = random.randrange(20000, 30000)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in ports:
                ports.add(port)
                return port

class Server:
    def __init__(self, config, bad=False):
        self.bad = bad      # a configuration to refuse
        self.dir = tempfile.mkdtemp(dir=os.path.dirname(PKI))
        os.mkdir(f"{self.dir}/server")
        self.config = f"{self.dir}/web.yml"
        if config is not None:
            self.configure(config)
        for _ in range(3):     # another program may take the port in between
            self.port = free_port()
            command = ARGS.server.replace("{config}", self.config).replace("{port}", str(self.port)).replace(
                "{dir}", f"{self.dir}/server")
            self.log = open(f"{self.dir}/log", "w+")
            self.process = subprocess.Popen(shlex.split(command), stdin=subprocess.DEVNULL, stdout=self.log,
                                            stderr=self.log)
            self.started = self.wait()
            if self.started or "in use" not in self.tail():
                break

    def wait(self):
        end = time.monotonic() + 15
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                if self.bad:
                    # the toolkit listens before it looks at everything, so it may still end
                    try:
                        self.process.wait(1)
                    except subprocess.TimeoutExpired:
                        pass
                return self.process.poll() is None
            except OSError:
                time.sleep(0.02)
        return False

    def configure(self, text):
        write(self.config, text.replace("@/", PKI + "/"))

    def tail(self):
        with open(f"{self.dir}/log", errors="replace") as f:
            return f.read()[-1500:]

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()

# ---------------------------------------------------------------------------------------------------
# Probes: each is called with the server and returns what was seen, as a short text
# ---------------------------------------------------------------------------------------------------
# what curl says when the other side refuses: 35 TLS, 52 empty answer, 55/56 send/receive, 16/92 HTTP/2, 98 for want
# of a client certificate
CURL_REFUSED = {16, 35, 52, 55, 56, 92, 98}

def run_curl(s, *args, scheme="https", host="127.0.0.1", show="%{http_code}", out="/dev/null"):
    command = ["curl", "-q", "-sS", "--noproxy", "*", "--max-time", "10", "-o", out, "-w", "\n" + show,
               "--cacert", f"{PKI}/serverca.pem", *args, f"{scheme}://{host}:{s.port}{ARGS.path}"]
    done = subprocess.run([a.encode() for a in command], capture_output=True)
    # 60 is also what curl makes of the other side's alert that a certificate has expired
    is_alert = done.returncode == 60 and b"verification failed" in done.stderr and b"problem" not in done.stderr
    if done.returncode in CURL_REFUSED or is_alert:
        return REFUSED, done.stdout
    if done.returncode:
        return f"curl: {done.stderr.decode(errors='replace').strip()}", done.stdout
    return done.stdout.decode(errors="replace").rsplit("\n", 1)[1], done.stdout

def curl(*args, **kw):
    return lambda s: run_curl(s, *args, **kw)[0]

def version_code(*args, **kw):
    return curl(*args, show="%{http_version} %{http_code}", **kw)

def as_user(name, password, *args, scheme="http"):
    return curl("-u", f"{name}:{password}", *args, scheme=scheme)

def header(name, *args, scheme="http", show="%{http_code}"):
    """All values of a header of the answer after its status, e.g. '401 Basic'."""
    def probe(s):
        code, out = run_curl(s, "-D", "-", *args, scheme=scheme, show=show)
        values = re.findall(rf"^{re.escape(name)}: *(.*?)\r?$", out.decode("latin-1"), re.M | re.I)
        return f"{code} {' + '.join(values) or 'absent'}"
    return probe

def with_cert(name, version="1.3", *args):
    """A refused TLS 1.3 client learns it only when it reads, so the question is: does a 200 arrive?"""
    args += ("--tlsv" + version, "--tls-max", version)
    if name != "none":
        args += ("--cert", f"{PKI}/{name}.pem", "--key", f"{PKI}/{name}.key")
    return curl(*args)

def run_s_client(s, *args):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{s.port}", "-CAfile", f"{PKI}/serverca.pem",
               "-verify_return_error", *args]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

def s_client(what, *args):
    """what: 'version', 'suite', 'curve', 'alpn' or 'serial' of the connection."""
    def probe(s):
        status, out, err = run_s_client(s, *args)
        made = re.search(r"^(?:New|Reused), (\S+), Cipher is (\S+)", out, re.M)
        if any(x in err for x in ("connect:errno", "verify error", "nknown option", "Error with command", "Call to ")):
            return "s_client: " + err.strip()[-200:]
        # the exit status counts: a TLS 1.3 suite is also printed when an alert came after the ServerHello
        if status or not made or made[2] == "(NONE)":
            return REFUSED
        if what == "serial":
            pem = re.search(r"-----BEGIN CERT.*?-----END CERTIFICATE-----", out, re.S)[0]
            return openssl("x509", "-noout", "-serial", stdin=pem.encode()).decode().strip()
        if what == "curve":
            # "X25519, 253 bits" or "ECDH, prime256v1, 256 bits"
            curve = re.search(r"^Server Temp Key: (?:ECDH, )?([^,]+)", out, re.M)
            return curve[1] if curve else f"no curve, {made[2]}"
        if what == "alpn":
            alpn = re.search(r"^ALPN protocol: (\S+)", out, re.M)
            return f"{made[1]} {alpn[1] if alpn else 'none'}"
        # "New, TLSv1.0" is how OpenSSL names CBC suites of TLS 1.1: the session says it right
        version = re.search(r"^    Protocol  : (\S+)", out, re.M)
        return {"version": version[1] if version else made[1], "suite": made[2]}[what]
    return probe

def plain_to_tls(request_line):
    """Plain HTTP at the TLS port; the connection must be closed by the server."""
    def probe(s):
        with socket.create_connection(("127.0.0.1", s.port), 5) as c:
            c.settimeout(5)
            got = b""
            try:
                c.sendall(request_line.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
                while chunk := c.recv(4096):
                    got += chunk
            except ConnectionError:
                pass            # a reset also closes
            except TimeoutError:
                return f"still open after {got!r}"
        told = b"Client sent an HTTP request to an HTTPS server." in got
        status = re.match(rb"HTTP/1\.[01] (\d+)", got)
        return f"{status[1].decode() if status else 'no answer'} {'told' if told else 'not told'}, closed"
    return probe

def raw(data):
    """Sends bytes, ignores the answer."""
    def probe(s):
        with socket.create_connection(("127.0.0.1", s.port), 5) as c:
            c.settimeout(5)
            try:
                c.sendall(data)
                c.shutdown(socket.SHUT_WR)
                while c.recv(4096):
                    pass
            except TimeoutError:
                return "still open"
            except OSError:
                pass
        return "closed"
    return probe

def beside_idle(probe):
    """Asks while other connections say nothing, or half a ClientHello."""
    def both(s):
        idle = [socket.create_connection(("127.0.0.1", s.port), 5) for _ in range(20)]
        for c in idle[10:]:
            c.sendall(b"\x16\x03\x01\x02\x00\x01")
        try:
            return probe(s)
        finally:
            for c in idle:
                c.close()
    return both

class KeepAlive:
    """One connection for several requests."""
    def __init__(self, s, tls):
        context = ssl.create_default_context(cafile=f"{PKI}/serverca.pem") if tls else None
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        self.c = kind("127.0.0.1", s.port, timeout=10, **({"context": context} if tls else {}))

    def get(self, user=None):
        headers = {"Authorization": "Basic " + base64.b64encode(
            f"{user}:{USERS[user][0]}".encode()).decode()} if user else {}
        self.c.auto_open = self.c.sock is None      # never silently a second connection
        try:
            self.c.request("GET", ARGS.path, headers=headers)
            answer = self.c.getresponse()
            answer.read()
            return str(answer.status)
        except (http.client.HTTPException, OSError):
            return REFUSED

# ---------------------------------------------------------------------------------------------------
# The table: group -> (configuration, cases); a case is (name, probe, expected or a tuple of allowed ones)
# ---------------------------------------------------------------------------------------------------
V12, V13 = ["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3"]
GROUPS = {}

def group(name, config, *cases):
    assert name not in GROUPS
    GROUPS[name] = (config, cases)

def s12(what, *args):
    # without a common curve Go 1.19 falls back to RSA key exchange, which is not the question
    return s_client(what, "-tls1_2", *(["-cipher", "ECDHE"] if what == "curve" else []), *args)
def s13(what, *args):
    return s_client(what, "-tls1_3", *args)

OK12, OK13 = ("TLS 1.2", curl(*V12), "200"), ("TLS 1.3", curl(*V13), "200")

def table():
    # --- versions of TLS and HTTP
    group("empty_file", "", ("plain", version_code(scheme="http"), "1.1 200"))
    group("plain", NO_H2.replace("false", "true"),
          ("plain HTTP/1.1", version_code(scheme="http"), "1.1 200"),
          ("Upgrade: h2c is not taken up", version_code("--http2", scheme="http"), "1.1 200"),
          ("TLS at the plain port", curl(), REFUSED),
          ("s_client at the plain port", s_client("version"), REFUSED),
          ("garbage", raw(b"\x00\xff" * 500 + b"\r\n\r\n"), "closed"),
          ("and on it goes", curl(scheme="http"), "200"),
          ("beside idle connections", beside_idle(curl(scheme="http")), "200"))
    group("tls", EC,
          ("TLS 1.2 HTTP/1.1", version_code(*V12, "--http1.1"), "1.1 200"),
          ("TLS 1.3 HTTP/1.1", version_code(*V13, "--http1.1"), "1.1 200"),
          ("TLS 1.2 HTTP/2", version_code(*V12, "--http2"), "2 200"),
          ("TLS 1.3 HTTP/2", version_code(*V13, "--http2"), "2 200"),
          ("no ALPN", version_code("--no-alpn"), "1.1 200"),
          ("with SNI", version_code(host="localhost"), "2 200"),
          ("SNI of another name", version_code("-k", "--connect-to", "::127.0.0.1:", host="other.example"), "2 200"),
          ("default minimum: TLS 1.1", s_client("version", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"), REFUSED),
          ("TLS 1.2", s12("version"), "TLSv1.2"),
          ("TLS 1.3", s13("version"), "TLSv1.3"),
          ("alpn: both", s13("alpn", "-alpn", "http/1.1,h2"), "TLSv1.3 h2"),
          ("alpn: http/1.1 alone", s13("alpn", "-alpn", "http/1.1"), ("TLSv1.3 http/1.1", "TLSv1.3 none")),
          ("alpn: an unknown one", s13("alpn", "-alpn", "spdy/3"), REFUSED),
          ("ECDSA suite, AES 128", s12("suite", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), "ECDHE-ECDSA-AES128-GCM-SHA256"),
          ("ECDSA suite, AES 256", s12("suite", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"), "ECDHE-ECDSA-AES256-GCM-SHA384"),
          ("ECDSA suite, ChaCha20", s12("suite", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"), "ECDHE-ECDSA-CHACHA20-POLY1305"),
          ("RSA suite for an EC key", s12("suite", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), REFUSED),
          ("an insecure suite", s12("suite", "-cipher", "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"), REFUSED),
          ("TLS 1.3 ChaCha20", s13("suite", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"), "TLS_CHACHA20_POLY1305_SHA256"),
          ("plain GET", plain_to_tls("GET /metrics"), "400 told, closed"),
          ("plain HEAD", plain_to_tls("HEAD /metrics"), "400 told, closed"),
          ("plain POST", plain_to_tls("POST /metrics"), "400 told, closed"),
          ("plain PUT", plain_to_tls("PUT /metrics"), "400 told, closed"),
          ("plain OPTIONS", plain_to_tls("OPTIONS *"), "400 told, closed"),
          # Go knows only the five above by their first five bytes
          ("plain DELETE", plain_to_tls("DELETE /metrics"), ("no answer not told, closed", "400 told, closed")),
          ("plain curl", version_code(scheme="http"), ("1 400", "1.1 400")),
          ("garbage", raw(b"\x00\xff" * 500), "closed"),
          ("half a ClientHello", raw(b"\x16\x03\x01\x02\x00\x01"), "closed"),
          ("beside idle connections", beside_idle(curl()), "200"))
    group("http2_off", EC + NO_H2,
          ("TLS 1.2", version_code(*V12, "--http2"), "1.1 200"),
          ("TLS 1.3", version_code(*V13, "--http2"), "1.1 200"),
          ("alpn: both", s13("alpn", "-alpn", "h2,http/1.1"), ("TLSv1.3 http/1.1", "TLSv1.3 none")),
          ("alpn: h2 alone", s13("alpn", "-alpn", "h2"), (REFUSED, "TLSv1.3 none")))
    old = ["-cipher", "DEFAULT@SECLEVEL=0"]
    group("old_versions", EC + "  min_version: TLS10\n",
          ("TLS 1.0", s_client("version", "-tls1", *old), "TLSv1"),
          ("TLS 1.1", s_client("version", "-tls1_1", *old), "TLSv1.1"), OK12, OK13)
    group("old_only", EC + "  min_version: TLS10\n  max_version: TLS11\n",
          ("TLS 1.1", s_client("version", "-tls1_1", *old), "TLSv1.1"),
          ("TLS 1.2", s12("version"), REFUSED), ("TLS 1.3", s13("version"), REFUSED))
    group("max_1_2", EC + "  max_version: TLS12\n", ("TLS 1.2", s12("version"), "TLSv1.2"),
          ("TLS 1.3", s13("version"), REFUSED), ("HTTP/2", version_code(), "2 200"))
    group("min_1_3", EC + "  min_version: TLS13\n", ("TLS 1.2", s12("version"), REFUSED),
          ("TLS 1.3", s13("version"), "TLSv1.3"), ("HTTP/2", version_code(), "2 200"))
    group("min_over_max", EC + "  min_version: TLS13\n  max_version: TLS12\n",
          ("TLS 1.2", s12("version"), REFUSED), ("TLS 1.3", s13("version"), REFUSED))

    # --- cipher suites
    r128, r256, rcha = ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305")
    group("suites", RSA + suites("ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
          ("in the list", s12("suite"), r128),
          ("not in the list", s12("suite", "-cipher", f"{r256}:{rcha}"), REFUSED),
          ("TLS 1.3 is not touched", s13("suite", "-ciphersuites", "TLS_AES_256_GCM_SHA384"), "TLS_AES_256_GCM_SHA384"),
          ("HTTP/2 TLS 1.2", version_code(*V12), "2 200"))
    group("suites_256", RSA + suites("ECDHE_RSA_WITH_AES_256_GCM_SHA384") + NO_H2,
          ("in the list", s12("suite", "-cipher", f"{r128}:{r256}:{rcha}"), r256),
          ("not in the list", s12("suite", "-cipher", r128), REFUSED))
    group("suites_of_other_key", RSA + suites("ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
          ("TLS 1.2", s12("suite"), REFUSED), OK13)
    group("only_1_3_suites", EC + suites("AES_256_GCM_SHA384") + NO_H2, ("TLS 1.2", s12("suite"), REFUSED), OK13)
    group("cbc", RSA + suites("RSA_WITH_AES_128_CBC_SHA") + NO_H2, ("TLS 1.2", s12("suite"), "AES128-SHA"))
    two = suites("ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE_RSA_WITH_AES_128_GCM_SHA256")
    for order, first in ((f"{r128}:{r256}", r128), (f"{r256}:{r128}", r256)):
        name = f"client prefers {first[10:16]}"
        GROUPS.setdefault("prefer_server", (RSA + two, []))[1].append((name, s12("suite", "-cipher", order), r256))
        GROUPS.setdefault("prefer_client", (RSA + "  prefer_server_cipher_suites: false\n" + two, []))[1].append(
            (name, s12("suite", "-cipher", order), first))

    # --- curves
    # With the RSA key: in TLS 1.2 a client's groups also bound the curve of an EC certificate
    group("curves_default", RSA, *[(f"{v} {g}", f("curve", "-groups", g), seen)
          for v, f in (("TLS 1.2", s12), ("TLS 1.3", s13))
          for g, seen in (("P-256", "prime256v1"), ("P-384", "secp384r1"), ("X25519", "X25519"), ("X448", REFUSED))])
    group("curves_384", RSA + curves("CurveP384"),
          ("TLS 1.2 in the list", s12("curve", "-groups", "P-256:P-384"), "secp384r1"),
          ("TLS 1.3 in the list, after a retry", s13("curve", "-groups", "X25519:P-384"), "secp384r1"),
          ("TLS 1.2 not in the list", s12("curve", "-groups", "P-256:X25519"), REFUSED),
          ("TLS 1.3 not in the list", s13("curve", "-groups", "P-256:X25519"), REFUSED),
          ("curl", version_code(), "2 200"))
    group("curves_two", RSA + curves("CurveP384", "X25519"),
          # whether the server's order, or that a key share came at once, counts more is each library's own choice
          ("TLS 1.2 either", s12("curve", "-groups", "X25519:P-384:P-256"), ("secp384r1", "X25519")),
          ("TLS 1.3 either", s13("curve", "-groups", "X25519:P-384:P-256"), ("secp384r1", "X25519")),
          ("TLS 1.3 P-256", s13("curve", "-groups", "P-256"), REFUSED))
    group("curves_521", RSA + curves("CurveP521"), ("TLS 1.2", s12("curve", "-groups", "P-521"), "secp521r1"),
          ("TLS 1.3", s13("curve", "-groups", "P-521"), "secp521r1"))

    # --- certificates and keys of the server
    pair = "tls_server_config:\n  cert_file: @/%s\n  key_file: @/%s\n"
    group("rsa_key", RSA, OK12, OK13, ("suite", s12("suite", "-cipher", r256), r256))
    for name, cert, key in (("pkcs1_key", "rsaserver.pem", "pkcs1.key"), ("sec1_key", "server.pem", "sec1.key"),
                            ("sec1_params_key", "server.pem", "sec1params.key"), ("one_file", "together.pem", "together.pem"),
                            ("p384_key", "p384server.pem", "p384server.key"), ("p521_key", "p521server.pem", "p521server.key"),
                            ("ed25519_key", "edserver.pem", "edserver.key"), ("chain", "chainserver.pem", "chainserver.key"),
                            ("text_before_pem", "text.pem", "server.key")):
        group(name, pair % (cert, key), OK12, OK13)
    group("relative", "tls_server_config:\n  cert_file: ../pki/server.pem\n  key_file: ../pki/server.key\n", OK13)
    inline = lambda field, file: f"  {field}: |\n" + "".join(f"    {l}\n" for l in read(file).splitlines())
    group("inline", "tls_server_config:\n" + inline("cert", "server.pem") + inline("key", "server.key"), OK12, OK13)
    group("inline_rsa_and_file", "tls_server_config:\n  cert_file: @/rsaserver.pem\n" + inline("key", "rsaserver.key"), OK12, OK13)
    group("inline_ca", VERIFY + inline("client_ca", "bundle.pem"), ("none", with_cert("none"), REFUSED),
          ("signed", with_cert("signed"), "200"), ("selfca", with_cert("selfca"), "200"),
          ("othersigned", with_cert("othersigned"), REFUSED))

    # --- client certificates
    seen = {"+": "200", "-": REFUSED}
    rows = [(line.split()[0], line.split()[1:6]) for line in CLIENTS.strip().splitlines()]
    for i, mode in enumerate(MODES):
        ca = "" if mode == "NoClientCert" else "  client_ca_file: @/bundle.pem\n"   # the two together are refused
        group(f"mode_{mode}", EC + f"  client_auth_type: {mode}\n" + ca,
              *[(f"{name} {v}", with_cert(name, v), seen[want[i]]) for name, want in rows for v in ("1.2", "1.3")])
    group("mode_RequireClientCert", EC + "  client_auth_type: RequireClientCert\n",   # the old name of RequireAny...
          ("none", with_cert("none"), REFUSED), ("othersigned", with_cert("othersigned"), "200"))
    group("mode_empty", EC + '  client_auth_type: ""\n', ("none", with_cert("none"), "200"))
    for line in ODD_ANCHORS.strip().splitlines():
        name, want = line.split()[:2]
        # v1 anchors each have a server of their own: a library that cannot load one may refuse to start
        ca = {"v1self": "v1self.pem", "underv1": "v1ca.pem"}.get(name, "odd.pem")
        target = GROUPS.setdefault("anchors" + ("" if ca == "odd.pem" else "_" + name), (VERIFY + f"  client_ca_file: @/{ca}\n", []))
        target[1].extend((f"{name} {v}", with_cert(name, v), seen[want]) for v in ("1.2", "1.3"))
    group("selfca_alone", VERIFY + "  client_ca_file: @/selfca.pem\n", ("none", with_cert("none"), REFUSED),
          ("selfca 1.2", with_cert("selfca", "1.2"), "200"), ("selfca 1.3", with_cert("selfca"), "200"),
          ("otherself", with_cert("otherself"), REFUSED), ("HTTP/1.1", with_cert("selfca", "1.3", "--http1.1"), "200"))
    # a key that is not the certificate's: curl refuses it itself, so nothing to ask here
    group("ca_junk", VERIFY + "  client_ca_file: @/junk.pem\n", ("none", with_cert("none"), REFUSED),
          ("signed", with_cert("signed"), REFUSED))
    group("ca_absent", VERIFY, ("none", with_cert("none"), REFUSED),     # Go takes the system's CAs
          ("signed", with_cert("signed"), REFUSED))
    group("mtls_and_users", VERIFY + "  client_ca_file: @/bundle.pem\n" + users_yaml("alice"),
          ("certificate alone", with_cert("signed"), "401"),
          ("both", with_cert("signed", "1.3", "-u", "alice:correct horse"), "200"),
          ("password alone", with_cert("none", "1.3", "-u", "alice:correct horse"), REFUSED))

    # --- client_allowed_sans
    allow = lambda mode, *values: EC + f"  client_auth_type: {mode}\n" + (
        "  client_ca_file: @/bundle.pem\n" if "Verify" in mode else "") + "  client_allowed_sans:\n" + "".join(
        f'  - "{v}"\n' for v in values)
    verify, kinds = "RequireAndVerifyClientCert", ("dns", "ip4", "ip6", "email", "uri")
    group("sans", allow(verify, "client.example.org", "10.1.2.3", "2001:db8::7", "robot@example.org",
                        "spiffe://example.org/robot", "10.9.9.9"),
          *[(f"san_{k} {v}", with_cert(f"san_{k}", v), "200") for k in kinds for v in ("1.2", "1.3")],
          ("second of many", with_cert("san_many"), "200"),
          ("IPv4 in IPv6 is written as IPv4", with_cert("san_mapped"), "200"),
          ("no SAN", with_cert("signed"), REFUSED), ("no SAN 1.2", with_cert("signed", "1.2"), REFUSED),
          ("no SAN, v1", with_cert("v1"), REFUSED), ("no SAN, own CA", with_cert("selfca"), REFUSED),
          ("SAN fits, CA does not", with_cert("san_other"), REFUSED), ("none", with_cert("none"), REFUSED))
    group("sans_other", allow(verify, "CLIENT.example.org", "*.example.org", "example.org", "10.1.2.4", "10.1.2.03",
                              "2001:0db8::7", "2001:db8:0::7", "Robot@example.org", "spiffe://example.org/robot/",
                              "san_dns"),     # the last is a common name: never looked at
          *[(f"san_{k} {v}", with_cert(f"san_{k}", v), REFUSED) for k in kinds for v in ("1.2", "1.3")])
    for k, value in zip(kinds, ("client.example.org", "10.1.2.3", "2001:db8::7", "robot@example.org", "spiffe://example.org/robot")):
        group(f"sans_{k}", allow(verify, value), *[(f"san_{x}", with_cert(f"san_{x}"), "200" if x == k else REFUSED) for x in kinds])
    group("sans_RequireAny", allow("RequireAnyClientCert", "client.example.org"), ("none", with_cert("none"), REFUSED),
          ("fits, unverified", with_cert("san_other"), "200"), ("no SAN", with_cert("signed"), REFUSED))
    # The toolkit's callback looks at rawCerts[0] and so panics without a certificate: that connection ends
    group("sans_Request", allow("RequestClientCert", "client.example.org"), ("none", with_cert("none"), REFUSED),
          ("none 1.2", with_cert("none", "1.2"), REFUSED),
          ("fits, unverified", with_cert("san_other"), "200"), ("no SAN", with_cert("signed"), REFUSED))
    group("sans_IfGiven", allow("VerifyClientCertIfGiven", "client.example.org"), ("none", with_cert("none"), REFUSED),
          ("none 1.2", with_cert("none", "1.2"), REFUSED), ("fits", with_cert("san_dns"), "200"),
          ("fits, CA does not", with_cert("san_other"), REFUSED), ("no SAN", with_cert("signed"), REFUSED))
    group("sans_NoClientCert", allow("NoClientCert", "client.example.org"),       # never asked for: never looked at
          ("none", with_cert("none"), "200"), ("no SAN", with_cert("signed"), "200"))
    group("sans_empty", allow(verify).rstrip("\n") + " []\n",       # a list without entries allows nobody
          ("no SAN", with_cert("signed"), REFUSED), ("san_dns", with_cert("san_dns"), REFUSED))

    # --- basic auth
    tls2 = lambda *a: version_code("--http2", *a)
    group("users", users_yaml() + HEADERS_YAML,
          *[(f"right: {n or '(no name)'}", as_user(n, p), "200") for n, (p, _) in USERS.items()],
          ("right, a second time (cached)", as_user("alice", "correct horse"), "200"),
          ("wrong", as_user("alice", "wrong"), "401"),
          ("wrong, a second time (cached)", as_user("alice", "wrong"), "401"),
          ("unknown user", as_user("carol", "correct horse"), "401"),
          ("unknown user with the toolkit's stand-in password", as_user("carol", "fakepassword"), "401"),
          ("name in another case", as_user("Alice", "correct horse"), "401"),
          ("another user's password", as_user("alice", "pa:ss:word"), "401"),
          ("part of a password with colons", as_user("bob", "pa"), "401"),
          ("empty password for one who has one", as_user("alice", ""), "401"),
          ("a password for the empty one", as_user("empty", "x"), "401"),
          ("bcrypt ends after 72 bytes", as_user("long", "a" * 72 + "other"), "200"),
          ("72nd byte counts", as_user("long", "a" * 71 + "bbcdefgh"), "401"),
          ("decomposed umlaut is another name", as_user("ju\u0308rgen", "pässwörd€"), "401"),
          ("none", curl(scheme="http"), "401"),
          ("none: asks", header("WWW-Authenticate"), "401 Basic"),
          ("wrong: asks", header("WWW-Authenticate", "-u", "alice:wrong"), "401 Basic"),
          ("right: does not ask", header("WWW-Authenticate", "-u", "alice:correct horse"), "200 absent"),
          *[(f"Authorization: {v}", curl("-H", f"Authorization: {v}", scheme="http"), code) for v, code in (
              ("basic YWxpY2U6Y29ycmVjdCBob3JzZQ==", "200"),      # the scheme's case does not count
              ("BASIC YWxpY2U6Y29ycmVjdCBob3JzZQ==", "200"),
              ("Basic YWxpY2U6Y29ycmVjdCBob3JzZQ", "401"),        # without padding
              ("Basic YWxpY2U=", "401"),                          # no colon
              ("Basic !!!", "401"), ("Basic", "401"), ("Bearer YWxpY2U6Y29ycmVjdCBob3JzZQ==", "401"),
              ("Basic  YWxpY2U6Y29ycmVjdCBob3JzZQ==", "401"),     # two spaces
          )],
          ("HEAD without", curl("-I", scheme="http"), "401"), ("POST without", curl("-d", "x", scheme="http"), "401"),
          ("another path without", curl("--path-as-is", "--request-target", "/nothing-here", scheme="http"), "401"),
          *[(f"401 {k}", header(k), f"401 {v}") for k, v in HEADERS.items()],
          *[(f"200 {k}", header(k, "-u", "alice:correct horse"), f"200 {v}") for k, v in HEADERS.items()])
    group("users_tls", EC + users_yaml() + HEADERS_YAML,
          ("HTTP/2 none", tls2(), "2 401"), ("HTTP/2 right", tls2("-u", "alice:correct horse"), "2 200"),
          ("HTTP/2 wrong", tls2("-u", "alice:wrong"), "2 401"), ("HTTP/2 colons", tls2("-u", "bob:pa:ss:word"), "2 200"),
          ("HTTP/2 non-ASCII", tls2("-u", "jürgen:pässwörd€"), "2 200"),
          ("HTTP/1.1 right", version_code("--http1.1", "-u", "alice:correct horse"), "1.1 200"),
          ("HTTP/2 asks", header("WWW-Authenticate", scheme="https"), "401 Basic"),
          *[(f"HTTP/2 401 {k}", header(k, scheme="https"), f"401 {v}") for k, v in HEADERS.items()],
          *[(f"HTTP/2 200 {k}", header(k, "-u", "alice:correct horse", scheme="https"), f"200 {v}") for k, v in HEADERS.items()])
    group("users_empty", "basic_auth_users: {}\n", ("nobody needed", curl(scheme="http"), "200"))

    # --- rate limit
    plain, alice = curl(scheme="http"), as_user("alice", "correct horse")
    limit = lambda interval, burst: f"rate_limit:\n  interval: {interval}\n  burst: {burst}\n"
    group("rate_limit", limit("1h", 3) + HEADERS_YAML,
          *[(f"request {i}", plain, "200") for i in (1, 2, 3)], ("request 4", plain, "429"), ("request 5", plain, "429"),
          # the toolkit limits before it sets the headers
          ("request 6 has no extra headers", header("X-Frame-Options"), "429 absent"))
    group("rate_users", limit("1h", 3) + users_yaml("alice"),
          ("right", alice, "200"), ("wrong ones count", plain, "401"), ("wrong ones count, 2", plain, "401"), ("right, too late", alice, "429"))
    group("rate_tls", EC + limit("1h", 2), *[(f"request {i}", version_code(), w) for i, w in ((1, "2 200"), (2, "2 200"), (3, "2 429"))])
    group("rate_refill", limit("300ms", 1), ("request 1", plain, "200"), ("comes back", lambda s: poll(lambda: plain(s), "200"), "200"))
    group("rate_zero", limit("0s", 1), *[(f"request {i}", plain, "200") for i in (1, 2, 3, 4)])
    group("rate_no_burst", "rate_limit:\n  interval: 1h\n", ("no burst, no request", plain, "429"))

    # --- configurations that must stop the start. curl's answer stands for a server that did start.
    bad = lambda name, config, probe=curl(): group(f"bad_{name}", config, ("start", probe, NO_START))
    http = curl(scheme="http")
    bad("missing_file", None, http)
    bad("yaml", "tls_server_config: [\n", http)
    bad("unknown_section", "tls_config:\n  cert_file: x\n", http)
    bad("unknown_field", EC + "  cert_path: x\n")
    bad("duplicate_field", EC + "  cert_file: @/server.pem\n")
    bad("no_cert", "tls_server_config:\n  key_file: @/server.key\n")
    bad("no_key", "tls_server_config:\n  cert_file: @/server.pem\n")
    bad("cert_missing", pair % ("nothing.pem", "server.key"))
    bad("cert_junk", pair % ("junk.pem", "server.key"))
    bad("other_key", pair % ("server.pem", "server2.key"))
    bad("ca_missing", VERIFY + "  client_ca_file: @/nothing.pem\n")
    bad("ca_without_auth", EC + "  client_ca_file: @/ca.pem\n")
    bad("ca_with_NoClientCert", EC + "  client_auth_type: NoClientCert\n  client_ca_file: @/ca.pem\n")
    bad("auth_type", EC + "  client_auth_type: requireandverifyclientcert\n")
    bad("auth_type_alone", "tls_server_config:\n  client_auth_type: RequestClientCert\n")
    bad("version", EC + "  min_version: TLS14\n")
    bad("cipher", EC + suites("NO_SUCH_SUITE"))
    bad("insecure_cipher", EC + suites("RSA_WITH_RC4_128_SHA"))
    bad("http2_suites", RSA + suites("ECDHE_RSA_WITH_AES_256_GCM_SHA384"))
    bad("curve", EC + curves("CurveP257"))
    bad("header", "http_server_config:\n  headers:\n    X-Other: x\n", http)
    bad("header_case", "http_server_config:\n  headers:\n    x-frame-options: deny\n", http)
    bad("header_value", "http_server_config:\n  headers:\n    X-Frame-Options: allow\n", http)
    bad("hash", "basic_auth_users:\n  alice: secret\n", http)
    bad("hash_short", f"basic_auth_users:\n  alice: {SECOND[:-5]}\n", http)

    # --- read again without a restart: see the functions
    for name, (config, f) in RELOADS.items():
        GROUPS[name] = (config, f)

def ticket(s, way, name, version="1.3", show_reused=False):
    """One request by s_client; way "-sess_out" keeps the ticket, "-sess_in" uses the kept one."""
    file = f"{s.dir}/ticket{version}"
    if way == "-sess_in" and not os.path.exists(file):
        return "no ticket"
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{s.port}", "-ign_eof", way, file,
               "-tls" + version.replace(".", "_")]
    if name != "none":
        command += ["-cert", f"{PKI}/{name}.pem", "-key", f"{PKI}/{name}.key"]
    ask = f"GET {ARGS.path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
    out = subprocess.run(command, input=ask, capture_output=True, timeout=20).stdout
    status = re.search(rb"^HTTP/1\.[01] (\d+)", out, re.M)
    reused = " reused" if show_reused and re.search(rb"^Reused, ", out, re.M) else ""
    # a TLS 1.2 client sees its session taken before the server's refusal: only an answer counts
    return status[1].decode() + reused if status else REFUSED

# ---------------------------------------------------------------------------------------------------
# Re-reading. Each is a generator that yields (name, what was seen, expected)
# ---------------------------------------------------------------------------------------------------
def poll(probe, want, seconds=5):
    """Asks until it is as wanted; returns the last answer."""
    end = time.monotonic() + seconds
    while True:
        got = probe()
        if got == want or (isinstance(want, tuple) and got in want) or time.monotonic() > end:
            return got
        time.sleep(0.05)

def becomes(name, probe, want):
    return name, lambda: poll(probe, want), want

def stays(name, probe, want):
    return name, probe, want

HTTP = lambda s, *args: lambda: run_curl(s, *args, scheme="http")[0]
HTTPS = lambda s, *args: lambda: run_curl(s, *args)[0]

def own_pair(s, cert, key=None):
    """The server's own files, to be replaced under it."""
    write(f"{s.dir}/s.pem", read(cert + ".pem"))
    write(f"{s.dir}/s.key", read((key or cert) + ".key"))
OWN = "tls_server_config:\n  cert_file: s.pem\n  key_file: s.key\n"

def serial_of(name):
    return openssl("x509", "-in", f"{name}.pem", "-noout", "-serial").decode().strip()

def new_certificate(s):
    see = lambda: s_client("serial")(s)
    old = KeepAlive(s, True)
    yield "before", see, serial_of("server")
    yield "a connection from before", old.get, "200"
    own_pair(s, "server2")
    yield becomes("after: TLS 1.3", see, serial_of("server2"))
    yield stays("after: TLS 1.2", lambda: s12("serial")(s), serial_of("server2"))
    yield stays("the connection from before goes on", old.get, "200")
    own_pair(s, "rsaserver")
    yield becomes("another kind of key", see, serial_of("rsaserver"))
    yield stays("another kind of key: HTTP/2", lambda: version_code()(s), "2 200")

def broken_pair(s):
    yield "before", HTTPS(s), "200"
    own_pair(s, "server", "server2")
    yield becomes("key of another certificate: broken", HTTPS(s), BROKEN)
    own_pair(s, "server")
    yield becomes("repaired", HTTPS(s), "200")
    os.remove(f"{s.dir}/s.key")
    yield becomes("key missing: broken", HTTPS(s), BROKEN)
    own_pair(s, "server2")
    yield becomes("repaired again", HTTPS(s), "200")

def change_users(s):
    alice, bob = HTTP(s, "-u", "alice:correct horse"), HTTP(s, "-u", "bob:pa:ss:word")
    one = KeepAlive(s, False)
    yield "open", HTTP(s), "200"
    yield "open, kept connection", one.get, "200"
    s.configure(users_yaml("alice"))
    yield becomes("alice added: none", HTTP(s), "401")
    yield stays("alice added: kept connection", one.get, "401")
    yield stays("alice added: alice", alice, "200")
    yield stays("alice added: alice on the kept connection", lambda: one.get("alice"), "200")
    yield stays("alice added: bob", bob, "401")
    s.configure(users_yaml("alice", "bob"))
    yield becomes("bob added: bob", bob, "200")
    s.configure(users_yaml("bob"))
    yield becomes("alice removed: alice", alice, "401")
    yield stays("alice removed: kept connection", lambda: one.get("alice"), "401")
    yield stays("alice removed: bob", bob, "200")
    s.configure(f"basic_auth_users:\n  bob: {SECOND}\n")
    yield becomes("bob's password changed: new", HTTP(s, "-u", "bob:second"), "200")
    yield stays("bob's password changed: old", bob, "401")
    s.configure(f"basic_auth_users:\n  bob: {SECOND}\n  alice: nohash\n")
    # only the start checks hashes; later a bad one just never fits
    yield becomes("alice with a bad hash: alice", alice, ("401", "500"))
    s.configure("")
    yield becomes("all removed", HTTP(s), "200")

def change_headers(s):
    frame = lambda: header("X-Frame-Options")(s)
    yield "none", frame, "200 absent"
    for value in "deny", "sameorigin":
        s.configure(f"http_server_config:\n  headers:\n    X-Frame-Options: {value}\n")
        yield becomes(value, frame, f"200 {value}")
    s.configure("{}\n")
    yield becomes("removed", frame, "200 absent")

BREAKS = [("YAML", "tls_server_config: [\n"), ("an unknown field", "basic_auth_user: {}\n"),
          ("a header's value", "http_server_config:\n  headers:\n    X-Frame-Options: allow\n"),
          ("not UTF-8", None), ("file missing", None)]

def break_file(s, what, text):
    if what == "file missing":
        os.remove(s.config)
    elif text is None:
        with open(s.config, "wb") as f:
            f.write(b"basic_auth_users:\n  \xff\xfe: x\n")
    else:
        s.configure(text)

def break_plain(s):
    kept = KeepAlive(s, False)
    yield "before", HTTP(s), "200"
    yield "kept before", kept.get, "200"
    for what, text in BREAKS:
        break_file(s, what, text)
        yield becomes(f"{what}: broken", HTTP(s), "500")
        yield stays(f"{what}: kept connection", kept.get, "500")
        s.configure(users_yaml("alice"))
        yield becomes(f"{what}: repaired", HTTP(s, "-u", "alice:correct horse"), "200")
        yield stays(f"{what}: repaired, users in force", kept.get, "401")

def break_tls(s):
    kept = KeepAlive(s, True)
    yield "before", HTTPS(s), "200"
    yield "kept before", kept.get, "200"
    for what, text in BREAKS:
        break_file(s, what, text if text is None else EC + text if "tls" not in text else text)
        # the toolkit reads the file in the handshake already, and fails it
        yield becomes(f"new connection, {what}", HTTPS(s), REFUSED)
        yield stays(f"kept connection, {what}", kept.get, "500")
        s.configure(EC)
        yield becomes(f"repaired, {what}", HTTPS(s), "200")
        yield becomes(f"repaired, kept connection, {what}", kept.get, "200")

def change_client_auth(s):
    ask = lambda name, v="1.3": lambda: with_cert(name, v)(s)
    ca = lambda name: s.configure(VERIFY + f"  client_ca_file: {s.dir}/ca.pem\n") or write(f"{s.dir}/ca.pem", read(name))
    yield "no authentication: none", ask("none"), "200"
    ca("ca.pem")
    yield becomes("added: none", ask("none"), REFUSED)
    yield stays("added: signed", ask("signed"), "200")
    yield stays("added: othersigned", ask("othersigned"), REFUSED)
    ca("otherca.pem")
    yield becomes("other CA: othersigned", ask("othersigned"), "200")
    yield stays("other CA: signed", ask("signed"), REFUSED)
    yield stays("other CA: signed 1.2", ask("signed", "1.2"), REFUSED)
    s.configure(EC + "  client_auth_type: RequestClientCert\n")
    yield becomes("only asked for: signed", ask("signed"), "200")

def change_versions(s):
    v12, v13 = lambda: s12("version")(s), lambda: s13("version")(s)
    yield "before: TLS 1.2", v12, "TLSv1.2"
    s.configure(EC + "  min_version: TLS13\n")
    yield becomes("min 1.3: TLS 1.2", v12, REFUSED)
    yield stays("min 1.3: TLS 1.3", v13, "TLSv1.3")
    s.configure(EC + "  max_version: TLS12\n")
    yield becomes("max 1.2: TLS 1.2", v12, "TLSv1.2")
    yield stays("max 1.2: TLS 1.3", v13, REFUSED)
    s.configure(EC + curves("CurveP384"))
    yield becomes("curves", lambda: s13("curve")(s), "secp384r1")
    # "This can not be changed on the fly"
    s.configure(EC + NO_H2 + "  headers:\n    X-Frame-Options: deny\n")
    yield becomes("http2: false is read", lambda: header("X-Frame-Options", scheme="https")(s), "200 deny")
    yield stays("http2: false does not count before a restart", lambda: version_code()(s), "2 200")

def tickets(s):
    """A ticket must not carry a client past rules that became stricter since (in Go: CVE-2025-68121)."""
    ca = lambda name: write(f"{s.dir}/ca.pem", read(name))
    verify = VERIFY + f"  client_ca_file: {s.dir}/ca.pem\n"
    ca("ca.pem")
    for v in "1.2", "1.3":
        first, again = (lambda name, way=way: lambda: ticket(s, way, name, v, way == "-sess_in")
                        for way in ("-sess_out", "-sess_in"))
        # a server may well give no tickets
        fine = ("200 reused", "200", "no ticket")
        s.configure(EC)
        yield becomes(f"{v} no authentication", first("none"), "200")
        yield f"{v} no authentication, again", again("none"), fine
        s.configure(verify)
        yield becomes(f"{v} authentication added", lambda: with_cert("none", v)(s), REFUSED)
        yield stays(f"{v} authentication added, ticket without certificate", again("none"), (REFUSED, "no ticket"))
        yield stays(f"{v} signed", first("signed"), "200")
        yield stays(f"{v} signed, again", again("signed"), fine)
        ca("otherca.pem")
        yield becomes(f"{v} CA replaced", lambda: with_cert("signed", v)(s), REFUSED)
        yield stays(f"{v} CA replaced, ticket from before", again("signed"), (REFUSED, "no ticket"))
        yield stays(f"{v} CA replaced, ticket from before, certificate kept back", again("none"), (REFUSED, "no ticket"))
        ca("ca.pem")
        yield becomes(f"{v} CA back", lambda: with_cert("signed", v)(s), "200")
        if expected("sans/", "")[0] is None:
            continue
        yield stays(f"{v} signed, before SANs", first("signed"), "200")
        s.configure(verify + "  client_allowed_sans: [client.example.org]\n")
        yield becomes(f"{v} SANs added", lambda: with_cert("signed", v)(s), REFUSED)
        yield stays(f"{v} SANs added, ticket from before", again("signed"), (REFUSED, "no ticket"))

def tls_added(s):
    yield "plain before", HTTP(s), "200"
    s.configure(EC + "http_server_config:\n  headers:\n    X-Frame-Options: deny\n")
    yield becomes("the file is read", lambda: header("X-Frame-Options")(s), "200 deny")
    yield stays("plain after", HTTP(s), "200")          # TLS or not is decided at the start
    yield stays("no TLS after", HTTPS(s), REFUSED)

def tls_removed(s):
    yield "before", HTTPS(s), "200"
    s.configure("http_server_config:\n  headers:\n    X-Frame-Options: deny\n")
    yield becomes("TLS after", HTTPS(s), BROKEN)        # never silently plain
    yield stays("plain after", HTTP(s), "400")

RELOADS = {"new_certificate": (OWN, new_certificate), "broken_pair": (OWN, broken_pair),
           "change_users": ("", change_users), "change_headers": ("", change_headers),
           "break_plain": ("", break_plain), "break_tls": (EC, break_tls),
           "change_client_auth": (EC, change_client_auth), "change_versions": (EC, change_versions),
           "tickets": (EC, tickets),
           "tls_added": ("", tls_added), "tls_removed": (EC, tls_removed)}

# ---------------------------------------------------------------------------------------------------
# Running
# ---------------------------------------------------------------------------------------------------
seen_differences = {}       # glob -> True once an answer was not what the table's own expectation says

def expected(name, want):
    """What this flavour must answer, and why if that differs, and the entry of DIFFERS."""
    for flavour, glob, other, reason in DIFFERS:
        if flavour == ARGS.flavour and fnmatch.fnmatchcase(name, glob):
            seen_differences.setdefault(glob, other is None)
            return other, reason, glob
    return (want if isinstance(want, tuple) else (want,)), None, None

def run_group(name):
    """Returns lines: (state, case, text)."""
    config, cases = GROUPS[name]
    lines = []
    whole, reason, _ = expected(f"{name}/", "")
    if whole is None:
        return [("skip", f"{name}/*", reason)]
    def judge(case, probe, want):
        allowed, reason, glob = expected(f"{name}/{case}", want)
        if allowed is None:
            return lines.append(("skip", f"{name}/{case}", reason))
        try:
            got = probe()
        except Exception as e:      # one case must not end the others
            got = f"{type(e).__name__}: {e}"
        if glob and got not in (want if isinstance(want, tuple) else (want,)):
            seen_differences[glob] = True
        text = got if reason is None else f"{got} ({reason})"
        if got not in allowed:
            text = f"expected {' or '.join(allowed)}, got {text}"
        lines.append(("ok" if got in allowed else "FAIL", f"{name}/{case}", text))
    if config is OWN:
        server = OwnFiles(config)
    else:
        server = Server(config, name.startswith("bad_"))
    try:
        refused = None
        if not server.started:
            code = server.process.poll()
            refused = NO_START if code else f"not listening after 15 s, exit status {code}"
        if callable(cases):
            if refused:
                lines.append(("FAIL", f"{name}/start", refused))
            else:
                for case, probe, want in cases(server):
                    judge(case, probe, want)
        else:
            for case, probe, want in cases:
                judge(case, (lambda: refused) if refused else (lambda: probe(server)), want)
        if not refused:
            if server.process.poll() is not None:
                # a server that exits on its own after listening: right for a configuration to refuse, else a crash
                lines.append(("FAIL", f"{name}/server still runs", f"exit status {server.process.poll()}"))
            else:
                lines.append(("ok", f"{name}/server still runs", "it does"))
        if any(state == "FAIL" for state, *_ in lines):
            lines.append(("log", name, server.tail()))
        elif refused and ARGS.verbose:
            lines.append(("log", name, server.tail()[-300:]))
    finally:
        server.stop()
    return lines

class OwnFiles(Server):
    def configure(self, text):
        own_pair(self, "server")
        super().configure(text)

def main():
    global ARGS, PKI
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--path", default="/metrics")
    parser.add_argument("--only", default="*", help="glob over the groups' names")
    parser.add_argument("--flavour", choices=("rustls", "go"), default="rustls")
    parser.add_argument("--jobs", type=int, default=4, help="servers at a time")
    parser.add_argument("--verbose", action="store_true", help="also why a start was refused, and entries of DIFFERS that nothing needed")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    ARGS = parser.parse_args()
    began = time.monotonic()
    top = os.path.realpath(tempfile.mkdtemp(prefix="tls_matrix."))
    PKI = f"{top}/pki"
    os.mkdir(PKI)
    count = {"ok": 0, "FAIL": 0, "skip": 0}
    try:
        make_certificates()
        table()
        names = [n for n in GROUPS if fnmatch.fnmatchcase(n, ARGS.only)]
        if not names:
            sys.exit(f"no group is named {ARGS.only}: {' '.join(GROUPS)}")
        # else every configuration that must not start would pass with a wrong command
        first = Server("")
        first.stop()
        if not first.started:
            sys.exit(f"the server does not start even with an empty file:\n{first.tail()}")
        with ThreadPoolExecutor(ARGS.jobs) as pool:
            for lines in pool.map(run_group, names):
                for state, case, text in lines:
                    if state == "log":
                        print("     | " + text.strip().replace("\n", "\n     | "))
                    else:
                        count[state] += 1
                        print(f"{state:4} {case}: {text}", flush=True)
    finally:
        if ARGS.keep:
            print(f"kept: {top}")
        else:
            shutil.rmtree(top, ignore_errors=True)
    for glob in (g for g, seen in seen_differences.items() if ARGS.verbose and not seen):
        print(f"note: all of {glob} was as the table expects of every flavour: is its entry in DIFFERS still needed?")
    print(f"{count['ok']} passed, {count['FAIL']} failed, {count['skip']} skipped")
    print(f"flavour {ARGS.flavour}, {time.monotonic() - began:.1f} s", file=sys.stderr)
    sys.exit(1 if count["FAIL"] else 0)

if __name__ == "__main__":
    main()
