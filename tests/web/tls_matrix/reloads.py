"""Files that change under a running server, which reads them again without a restart.
Each function is a generator that yields (name, probe, expected) and changes the files between."""

import os

from certificates import openssl, read, write
from data import EC, NO_H2, SECOND, VERIFY, curves, users_yaml
from differs import BROKEN, REFUSED, expected
from probes import (KeepAlive, header, poll, run_curl, s12, s13, s_client, ticket, version_code, with_cert)
from server import OWN, own_pair


def becomes(name, probe, want):
    return name, lambda: poll(probe, want), want


def stays(name, probe, want):
    return name, probe, want


HTTP = lambda s, *args: lambda: run_curl(s, *args, scheme="http")[0]
HTTPS = lambda s, *args: lambda: run_curl(s, *args)[0]


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

    def ca(name):
        s.configure(VERIFY + f"  client_ca_file: {s.dir}/ca.pem\n")
        write(f"{s.dir}/ca.pem", read(name))

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
        yield stays(f"{v} CA replaced, ticket from before, certificate kept back", again("none"),
                    (REFUSED, "no ticket"))
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
