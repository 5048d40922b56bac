"""Connections that cost the server a place rather than bytes: over at once, silent, sending by the byte, or
taking nothing of their answers. Over HTTP/1 or before any protocol is spoken."""

import itertools
import socket
import struct

from connections import Conn
from limits import BODY_LIMIT, HEAD_LIMIT, IDLE_LIMIT, STALL_LIMIT
from registry import Shot, attack, drip, repeat, then
from wire import GET, H1, PREFACE, head, settings


def churn(address, scale):
    """Half of the connections end by RST, so that accept() can find them dead already."""
    failed, total = 0, max(100, int(5000 * scale))
    for number in range(total):
        try:
            with socket.create_connection(address, timeout=5) as sock:
                if number % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            failed += 1
            if failed > 3:
                break
    return Shot([], f"{total} connects", lambda _: [f"{failed} could not connect"] if failed else [])


@attack("churn", "plain", 0, 1, must_end=False)
def churn_plain(address, _n, scale):
    """Connections that are over before they are served cost a task and a descriptor each.
    They must be given back as fast as they come."""
    return churn(address, scale)


@attack("churn on TLS", "tls", 0, 1, must_end=False)
def churn_tls(address, _n, scale):
    """The same where a handshake would begin."""
    return churn(address, scale)


@attack("slow headers", "plain", 200, HEAD_LIMIT, slow=True)
def slow_headers(address, n, _scale):
    """Slowloris: a byte a second keeps every timer happy that starts anew with each byte.
    So the limit must be on the whole head."""
    line = GET[:-2] + b"".join(b"X-%d: y\r\n" % i for i in range(100))
    return Shot([Conn(address, drip(line)) for _ in range(n)], "1 byte/s")


@attack("second head slow", "plain", 10, 1 + HEAD_LIMIT, slow=True)
def second_head_slow(address, n, _scale):
    """A good request first, then a slow one on the same connection: is the timer set again?"""
    return Shot([Conn(address, then(GET, 1.0, drip(GET[:-2] + b"X" * 100))) for _ in range(n)], "GET, then 1 byte/s")


@attack("slow body", "plain", 20, BODY_LIMIT, slow=True, floor=4)
def slow_body(address, n, _scale):
    """The head is complete at once, the body comes a byte a second, once of known length and once in chunks.
    If the path is off or wants a token, the answer comes at once; then the rest must not be waited for."""
    post = "POST /api/v1/messages HTTP/1.1"
    shapes = itertools.cycle((lambda: then(head(post, "Content-Length: 1000"), drip(b"{" * 1000)),
                              lambda: then(head(post, "Transfer-Encoding: chunked"), drip(b"1\r\n{\r\n" * 200))))
    return Shot([Conn(address, next(shapes)()) for _ in range(n)], "POST, 1 byte/s")


@attack("bodies that never come", "plain", 30, BODY_LIMIT, slow=True, floor=6)
def absent_bodies(address, n, _scale):
    """A declared length must not be reserved in advance: 4 GiB and more are declared, nothing is sent.
    Also one huge chunk, and 100-continue, where the client waits to be asked."""
    post = "POST /api/v1/messages HTTP/1.1"
    shapes = itertools.cycle((
        head(post, "Content-Length: 1000000"), head(post, "Content-Length: 5000000000"),
        head(post, "Content-Length: 9223372036854775807"),
        head(post, "Transfer-Encoding: chunked") + b"7fffffffffffffff\r\n",
        head(post, "Transfer-Encoding: chunked") + b"F",
        head(post, "Content-Length: 1000", "Expect: 100-continue")))
    return Shot([Conn(address, [next(shapes)]) for _ in range(n)], "1 MB to 2^63 declared")


@attack("PRI on plain, silence", "plain", 5, IDLE_LIMIT, slow=True)
def pri_on_plain(address, n, _scale):
    """HTTP/2 with prior knowledge on the plain port: refused, or a connection that idles."""
    return Shot([Conn(address, [PREFACE + settings()], seen=H1()) for _ in range(n)], "preface")


@attack("reads nothing", "plain", 100, STALL_LIMIT, slow=True)
def reads_nothing(address, n, scale):
    """An answer that nobody takes stays in the server's memory.
    200 requests each, as one page may fit into the kernel's buffers."""
    return Shot([Conn(address, [GET * 200], read=False, tight=True, since="progress") for _ in range(n)],
                "200 GET each, no read")


@attack("10,000 pipelined", "plain", 10, STALL_LIMIT, slow=True, floor=2)
def pipelined(address, n, scale):
    """Requests behind requests: if they are taken in faster than answers are taken out, answers pile up."""
    count = max(1000, int(10_000 * scale))
    return Shot([Conn(address, repeat(GET * 100, len(GET) * count), read=False, tight=True, since="progress")
                 for _ in range(n)], f"{count} GET each, no read")


@attack("idle connections", "plain", 3000, IDLE_LIMIT, slow=True, alone=True)
def idle_connections(address, n, _scale):
    """More connections than the server may want to hold, all silent; the scraper must find a place all the same."""
    return Shot([Conn(address) for _ in range(n)], "nothing")
