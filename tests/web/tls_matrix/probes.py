"""What is asked of a server: each probe is called with the server and returns what was seen, as a short text.
Clients are curl and openssl, and Python where one connection must outlive a change or the bytes are no HTTP at all."""

import base64
import http.client
import os
import re
import socket
import ssl
import subprocess
import time

import context
from certificates import openssl
from data import USERS
from differs import REFUSED

# what curl says when the other side refuses: 35 TLS, 52 empty answer, 55/56 send/receive, 16/92 HTTP/2, 98 for want
# of a client certificate
CURL_REFUSED = {16, 35, 52, 55, 56, 92, 98}


def run_curl(s, *args, scheme="https", host="127.0.0.1", show="%{http_code}", out="/dev/null"):
    command = ["curl", "-q", "-sS", "--noproxy", "*", "--max-time", "10", "-o", out, "-w", "\n" + show,
               "--cacert", f"{context.PKI}/serverca.pem", *args, f"{scheme}://{host}:{s.port}{context.ARGS.path}"]
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
        args += ("--cert", f"{context.PKI}/{name}.pem", "--key", f"{context.PKI}/{name}.key")
    return curl(*args)


def run_s_client(s, *args):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{s.port}", "-CAfile", f"{context.PKI}/serverca.pem",
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
        trust = ssl.create_default_context(cafile=f"{context.PKI}/serverca.pem") if tls else None
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        self.c = kind("127.0.0.1", s.port, timeout=10, **({"context": trust} if tls else {}))

    def get(self, user=None):
        headers = {"Authorization": "Basic " + base64.b64encode(
            f"{user}:{USERS[user][0]}".encode()).decode()} if user else {}
        self.c.auto_open = self.c.sock is None      # never silently a second connection
        try:
            self.c.request("GET", context.ARGS.path, headers=headers)
            answer = self.c.getresponse()
            answer.read()
            return str(answer.status)
        except (http.client.HTTPException, OSError):
            return REFUSED


def s12(what, *args):
    # without a common curve Go 1.19 falls back to RSA key exchange, which is not the question
    return s_client(what, "-tls1_2", *(["-cipher", "ECDHE"] if what == "curve" else []), *args)


def s13(what, *args):
    return s_client(what, "-tls1_3", *args)


def ticket(s, way, name, version="1.3", show_reused=False):
    """One request by s_client; way "-sess_out" keeps the ticket, "-sess_in" uses the kept one."""
    file = f"{s.dir}/ticket{version}"
    if way == "-sess_in" and not os.path.exists(file):
        return "no ticket"
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{s.port}", "-ign_eof", way, file,
               "-tls" + version.replace(".", "_")]
    if name != "none":
        command += ["-cert", f"{context.PKI}/{name}.pem", "-key", f"{context.PKI}/{name}.key"]
    ask = f"GET {context.ARGS.path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
    out = subprocess.run(command, input=ask, capture_output=True, timeout=20).stdout
    status = re.search(rb"^HTTP/1\.[01] (\d+)", out, re.M)
    reused = " reused" if show_reused and re.search(rb"^Reused, ", out, re.M) else ""
    # a TLS 1.2 client sees its session taken before the server's refusal: only an answer counts
    return status[1].decode() + reused if status else REFUSED


def poll(probe, want, seconds=5):
    """Asks until it is as wanted; returns the last answer."""
    end = time.monotonic() + seconds
    while True:
        got = probe()
        if got == want or (isinstance(want, tuple) and got in want) or time.monotonic() > end:
            return got
        time.sleep(0.05)
