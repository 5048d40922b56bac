"""HTTP/1 heads and bodies over a limit or without an end, sent as fast as the server takes them.
What must stop them are limits on bytes and lines; the timers would be too late."""

import itertools

from connections import Conn
from limits import BODY_LIMIT, HEAD_LIMIT, MAX_BODY, MAX_HEAD, MAX_HEADERS
from registry import Shot, attack, refused, repeat, then
from wire import GET, head


@attack("endless header lines", "plain", 20, HEAD_LIMIT)
def endless_header_lines(address, n, _scale):
    """A head that never ends must not be collected until memory is full.
    It is sent as fast as it is taken, so the limit on bytes must cut it long before the timer."""
    lines = b"".join(b"X-%d: y\r\n" % i for i in range(5000))
    return Shot([Conn(address, then(GET[:-2], repeat(lines))) for _ in range(n)], "header lines for ever", refused)


@attack("endless single header", "plain", 20, HEAD_LIMIT)
def endless_single_header(address, n, _scale):
    """One value without an end: no line is ever complete, so a limit on the number of lines does not help.
    A parser that starts over with every read would also take quadratic time."""
    return Shot([Conn(address, then(GET[:-2], b"X: ", repeat(b"a" * 65536))) for _ in range(n)], "one value", refused)


@attack("endless request line", "plain", 20, HEAD_LIMIT)
def endless_request_line(address, n, _scale):
    """The same before any header, where a limit on header bytes might not count yet."""
    return Shot([Conn(address, then(b"GET /", repeat(b"a" * 65536))) for _ in range(n)], "one request line", refused)


@attack("oversized URI", "plain", 21, HEAD_LIMIT, floor=3)
def oversized_uri(address, n, _scale):
    """A complete request whose target alone is over the limit of the head.
    It ends with a valid head, so only the size can be the reason to refuse it."""
    sizes = itertools.cycle((MAX_HEAD + 1024, 65_000, 1_000_000))
    return Shot([Conn(address, [head("GET /metrics?" + "a" * next(sizes) + " HTTP/1.1", "Connection: close")])
                 for _ in range(n)], "33 KiB, 64 KiB, 1 MB", refused)


@attack("head just over limits", "plain", 21, HEAD_LIMIT, floor=3)
def head_over_limits(address, n, _scale):
    """65 header lines, or 33 KiB in one or in few of them: just above what is promised to be the limit.
    Also shows that the limits are those which are documented, not merely some."""
    shapes = itertools.cycle((
        [f"X-{i}: y" for i in range(MAX_HEADERS - 1)],  # with Host and Connection
        ["X: " + "a" * (MAX_HEAD + 1024)],
        [f"X-{i}: " + "a" * 1100 for i in range(31)]))
    return Shot([Conn(address, [head("GET /metrics HTTP/1.1", "Connection: close", *next(shapes))]) for _ in range(n)],
                "65 lines, 33 KiB in 1 or 31", refused)


@attack("body over limit", "plain", 20, BODY_LIMIT, floor=4)
def body_over_limit(address, n, _scale):
    """Twice the allowed body, declared or in chunks, and chunks for ever.
    What is refused at once may be drained for a while, but not without an end."""
    post = "POST /api/v1/messages HTTP/1.1"
    chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    shapes = itertools.cycle((
        lambda: then(head(post, f"Content-Length: {2 * MAX_BODY}"), repeat(b"a" * 65536, 2 * MAX_BODY)),
        lambda: then(head(post, "Transfer-Encoding: chunked"), repeat(chunk))))
    return Shot([Conn(address, next(shapes)()) for _ in range(n)], "2 MiB declared; endless chunks", refused)


@attack("chunk tricks", "plain", 24, BODY_LIMIT, floor=8)
def chunk_tricks(address, n, _scale):
    """Extensions, trailers and leading zeros of chunk sizes are outside the body, so a limit on it misses them.
    Sent for ever, on a path that reads bodies and on one that does not."""
    trailers = b"".join(b"T-%d: x\r\n" % i for i in range(5000))
    floods = itertools.cycle((
        lambda: then(b"1;", repeat(b"a=b;" * 16000)),                  # an extension without an end
        lambda: repeat(b"1;a=bbbbbbbbbbbbbbbb\r\nx\r\n" * 2500),       # one on each of endless tiny chunks
        lambda: then(b"0\r\n", repeat(trailers)),
        lambda: repeat(b"0" * 65536)))                                 # a size of zeros only
    paths = itertools.cycle(("/api/v1/messages",) * 4 + ("/metrics",) * 4)
    return Shot([Conn(address, then(head(f"POST {next(paths)} HTTP/1.1", "Transfer-Encoding: chunked"), next(floods)()))
                 for _ in range(n)], "extensions, trailers, zeros")
