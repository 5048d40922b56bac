"""The table of groups: for each a configuration, and what must be answered under it. A case is (name, probe, expected),
with a tuple where more than one answer is right. Hand-written from what the real toolkit does; see also differs.py."""

from certificates import read
from data import (CLIENTS, EC, HEADERS, HEADERS_YAML, MODES, NO_H2, ODD_ANCHORS, RSA, SECOND, USERS, VERIFY, curves,
                  suites, users_yaml)
from differs import NO_START, REFUSED
from probes import (as_user, beside_idle, curl, header, plain_to_tls, poll, raw, s12, s13, s_client, version_code,
                    with_cert)
from reloads import RELOADS

V12, V13 = ["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3"]
R128, R256, RCHA = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"
PAIR = "tls_server_config:\n  cert_file: @/%s\n  key_file: @/%s\n"
GROUPS = {}


def group(name, config, *cases):
    assert name not in GROUPS
    GROUPS[name] = (config, cases)


OK12, OK13 = ("TLS 1.2", curl(*V12), "200"), ("TLS 1.3", curl(*V13), "200")


def versions():
    """Versions of TLS and HTTP."""
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
          ("ECDSA suite, AES 128", s12("suite", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"),
           "ECDHE-ECDSA-AES128-GCM-SHA256"),
          ("ECDSA suite, AES 256", s12("suite", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"),
           "ECDHE-ECDSA-AES256-GCM-SHA384"),
          ("ECDSA suite, ChaCha20", s12("suite", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"),
           "ECDHE-ECDSA-CHACHA20-POLY1305"),
          ("RSA suite for an EC key", s12("suite", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), REFUSED),
          ("an insecure suite", s12("suite", "-cipher", "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"), REFUSED),
          ("TLS 1.3 ChaCha20", s13("suite", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"),
           "TLS_CHACHA20_POLY1305_SHA256"),
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


def cipher_suites():
    """Which suites are left, and whose order counts."""
    group("suites", RSA + suites("ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
          ("in the list", s12("suite"), R128),
          ("not in the list", s12("suite", "-cipher", f"{R256}:{RCHA}"), REFUSED),
          ("TLS 1.3 is not touched", s13("suite", "-ciphersuites", "TLS_AES_256_GCM_SHA384"), "TLS_AES_256_GCM_SHA384"),
          ("HTTP/2 TLS 1.2", version_code(*V12), "2 200"))
    group("suites_256", RSA + suites("ECDHE_RSA_WITH_AES_256_GCM_SHA384") + NO_H2,
          ("in the list", s12("suite", "-cipher", f"{R128}:{R256}:{RCHA}"), R256),
          ("not in the list", s12("suite", "-cipher", R128), REFUSED))
    group("suites_of_other_key", RSA + suites("ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
          ("TLS 1.2", s12("suite"), REFUSED), OK13)
    group("only_1_3_suites", EC + suites("AES_256_GCM_SHA384") + NO_H2, ("TLS 1.2", s12("suite"), REFUSED), OK13)
    group("cbc", RSA + suites("RSA_WITH_AES_128_CBC_SHA") + NO_H2, ("TLS 1.2", s12("suite"), "AES128-SHA"))
    two = suites("ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE_RSA_WITH_AES_128_GCM_SHA256")
    for order, first in ((f"{R128}:{R256}", R128), (f"{R256}:{R128}", R256)):
        name = f"client prefers {first[10:16]}"
        GROUPS.setdefault("prefer_server", (RSA + two, []))[1].append((name, s12("suite", "-cipher", order), R256))
        GROUPS.setdefault("prefer_client", (RSA + "  prefer_server_cipher_suites: false\n" + two, []))[1].append(
            (name, s12("suite", "-cipher", order), first))


def key_exchange():
    """curve_preferences."""
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


def server_certificates():
    """Certificates and keys of the server, in all forms that tools write."""
    group("rsa_key", RSA, OK12, OK13, ("suite", s12("suite", "-cipher", R256), R256))
    for name, cert, key in (
            ("pkcs1_key", "rsaserver.pem", "pkcs1.key"), ("sec1_key", "server.pem", "sec1.key"),
            ("sec1_params_key", "server.pem", "sec1params.key"), ("one_file", "together.pem", "together.pem"),
            ("p384_key", "p384server.pem", "p384server.key"), ("p521_key", "p521server.pem", "p521server.key"),
            ("ed25519_key", "edserver.pem", "edserver.key"), ("chain", "chainserver.pem", "chainserver.key"),
            ("text_before_pem", "text.pem", "server.key")):
        group(name, PAIR % (cert, key), OK12, OK13)
    group("relative", "tls_server_config:\n  cert_file: ../pki/server.pem\n  key_file: ../pki/server.key\n", OK13)

    def inline(field, file):
        return f"  {field}: |\n" + "".join(f"    {line}\n" for line in read(file).splitlines())

    group("inline", "tls_server_config:\n" + inline("cert", "server.pem") + inline("key", "server.key"), OK12, OK13)
    group("inline_rsa_and_file", "tls_server_config:\n  cert_file: @/rsaserver.pem\n" + inline("key", "rsaserver.key"),
          OK12, OK13)
    group("inline_ca", VERIFY + inline("client_ca", "bundle.pem"), ("none", with_cert("none"), REFUSED),
          ("signed", with_cert("signed"), "200"), ("selfca", with_cert("selfca"), "200"),
          ("othersigned", with_cert("othersigned"), REFUSED))


def client_certificates():
    """Who is let in by which client_auth_type."""
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
        target = GROUPS.setdefault("anchors" + ("" if ca == "odd.pem" else "_" + name),
                                   (VERIFY + f"  client_ca_file: @/{ca}\n", []))
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


def allowed_names():
    """client_allowed_sans."""
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
    for k, value in zip(kinds, ("client.example.org", "10.1.2.3", "2001:db8::7", "robot@example.org",
                                "spiffe://example.org/robot")):
        group(f"sans_{k}", allow(verify, value),
              *[(f"san_{x}", with_cert(f"san_{x}"), "200" if x == k else REFUSED) for x in kinds])
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


def basic_auth():
    """basic_auth_users, and that refusals have the configured headers too."""
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
          ("HTTP/2 wrong", tls2("-u", "alice:wrong"), "2 401"),
          ("HTTP/2 colons", tls2("-u", "bob:pa:ss:word"), "2 200"),
          ("HTTP/2 non-ASCII", tls2("-u", "jürgen:pässwörd€"), "2 200"),
          ("HTTP/1.1 right", version_code("--http1.1", "-u", "alice:correct horse"), "1.1 200"),
          ("HTTP/2 asks", header("WWW-Authenticate", scheme="https"), "401 Basic"),
          *[(f"HTTP/2 401 {k}", header(k, scheme="https"), f"401 {v}") for k, v in HEADERS.items()],
          *[(f"HTTP/2 200 {k}", header(k, "-u", "alice:correct horse", scheme="https"), f"200 {v}")
            for k, v in HEADERS.items()])
    group("users_empty", "basic_auth_users: {}\n", ("nobody needed", curl(scheme="http"), "200"))


def rate_limits():
    """rate_limit."""
    plain, alice = curl(scheme="http"), as_user("alice", "correct horse")
    limit = lambda interval, burst: f"rate_limit:\n  interval: {interval}\n  burst: {burst}\n"
    group("rate_limit", limit("1h", 3) + HEADERS_YAML,
          *[(f"request {i}", plain, "200") for i in (1, 2, 3)],
          ("request 4", plain, "429"), ("request 5", plain, "429"),
          # the toolkit limits before it sets the headers
          ("request 6 has no extra headers", header("X-Frame-Options"), "429 absent"))
    group("rate_users", limit("1h", 3) + users_yaml("alice"),
          ("right", alice, "200"), ("wrong ones count", plain, "401"),
          ("wrong ones count, 2", plain, "401"), ("right, too late", alice, "429"))
    group("rate_tls", EC + limit("1h", 2),
          *[(f"request {i}", version_code(), w) for i, w in ((1, "2 200"), (2, "2 200"), (3, "2 429"))])
    group("rate_refill", limit("300ms", 1), ("request 1", plain, "200"),
          ("comes back", lambda s: poll(lambda: plain(s), "200"), "200"))
    group("rate_zero", limit("0s", 1), *[(f"request {i}", plain, "200") for i in (1, 2, 3, 4)])
    group("rate_no_burst", "rate_limit:\n  interval: 1h\n", ("no burst, no request", plain, "429"))


def bad_starts():
    """Configurations that must stop the start. curl's answer stands for a server that did start."""
    bad = lambda name, config, probe=curl(): group(f"bad_{name}", config, ("start", probe, NO_START))
    http = curl(scheme="http")
    bad("missing_file", None, http)
    bad("yaml", "tls_server_config: [\n", http)
    bad("unknown_section", "tls_config:\n  cert_file: x\n", http)
    bad("unknown_field", EC + "  cert_path: x\n")
    bad("duplicate_field", EC + "  cert_file: @/server.pem\n")
    bad("no_cert", "tls_server_config:\n  key_file: @/server.key\n")
    bad("no_key", "tls_server_config:\n  cert_file: @/server.pem\n")
    bad("cert_missing", PAIR % ("nothing.pem", "server.key"))
    bad("cert_junk", PAIR % ("junk.pem", "server.key"))
    bad("other_key", PAIR % ("server.pem", "server2.key"))
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


def table():
    """Fills GROUPS, in the order in which they are run."""
    versions()
    cipher_suites()
    key_exchange()
    server_certificates()
    client_certificates()
    allowed_names()
    basic_auth()
    rate_limits()
    bad_starts()
    for name, (config, f) in RELOADS.items():
        GROUPS[name] = (config, f)
