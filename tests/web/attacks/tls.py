"""Attacks on the TLS layer: on the handshake, which costs the server most and needs no request, and on what is
between an answer and the socket."""

import contextlib
import itertools
import ssl

from connections import Conn, tls_context
from limits import HANDSHAKE_LIMIT, IDLE_LIMIT, STALL_LIMIT
from registry import Shot, attack, drip, repeat, then
from wire import GET


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = tls_context("h2", "http/1.1").wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        half.do_handshake()
    return outgoing.read()


@attack("plain HTTP on TLS", "tls", 10, HANDSHAKE_LIMIT)
def plain_on_tls(address, n, _scale):
    """The commonest mistake, and any scanner does it."""
    return Shot([Conn(address, [GET]) for _ in range(n)], "GET in the clear")


@attack("huge TLS records", "tls", 30, HANDSHAKE_LIMIT)
def huge_records(address, n, _scale):
    """Lengths above what TLS allows, with bytes behind; and a handshake message of 16 MiB in good records, for ever,
    which must not be collected."""
    body = b"\0" * 16384
    shapes = itertools.cycle((
        lambda: then(b"\x16\x03\x01\xff\xff", repeat(body)), lambda: then(b"\x17\x03\x03\xff\xff", repeat(body)),
        lambda: then(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + body[4:], repeat(b"\x16\x03\x01\x40\x00" + body))))
    return Shot([Conn(address, next(shapes)()) for _ in range(n)], "65535-byte records; 16 MiB hello")


def stalls(address, n, what, sends):
    return Shot([Conn(address, sends()) for _ in range(n)], what)


@attack("TLS: silence", "tls", 15, HANDSHAKE_LIMIT, slow=True)
def tls_silence(address, n, _scale):
    """The timer must start with the connection, not with the first byte."""
    return stalls(address, n, "nothing", tuple)


@attack("TLS: half a ClientHello", "tls", 15, HANDSHAKE_LIMIT, slow=True)
def tls_half_hello(address, n, _scale):
    """A record that is begun is buffered; it must not be waited for without an end."""
    return stalls(address, n, "100 bytes of it", lambda: [client_hello()[:100]])


@attack("TLS: slow ClientHello", "tls", 15, HANDSHAKE_LIMIT, slow=True)
def tls_slow_hello(address, n, _scale):
    """A byte a second: the limit must be on the handshake, not on the silence."""
    return stalls(address, n, "1 byte/s", lambda: drip(client_hello()))


@attack("TLS: ClientHello, silence", "tls", 15, HANDSHAKE_LIMIT, slow=True)
def tls_full_hello(address, n, _scale):
    """The server has done its expensive part and keeps the state of the handshake."""
    return stalls(address, n, "a whole one", lambda: [client_hello()])


@attack("TLS: handshake, silence", "tls", 15, IDLE_LIMIT, slow=True)
def tls_then_silence(address, n, _scale):
    """Past the handshake the next timer must take over."""
    return Shot([Conn(address, tls="http/1.1") for _ in range(n)], "handshake")


@attack("TLS: reads nothing", "tls", 20, STALL_LIMIT, slow=True)
def tls_reads_nothing(address, n, _scale):
    """Between the answer and the socket there is TLS with a buffer of its own."""
    return Shot([Conn(address, [GET * 200], tls="http/1.1", read=False, tight=True, since="progress")
                 for _ in range(n)], "200 GET each, no read")
