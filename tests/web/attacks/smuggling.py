"""HTTP/1 bytes that can be understood differently: where a request ends, and of which version it is.
Nothing here is large or slow; what counts is what is answered."""

from connections import Conn
from limits import REFUSALS
from registry import Shot, attack
from shapes import CLEAR, ONE, REJECT, SMUGGLING


@attack("smuggling shapes", "plain", len(SMUGGLING), 2, must_end=False, floor=len(SMUGGLING))
def smuggling(address, _n, _scale):
    """Where two readers of the same bytes can disagree about where a request ends, a proxy before the server lets
    a second request through unseen. Each shape carries one; its 200 shows that it was answered."""
    conns = {name: Conn(address, [text.encode("latin-1")]) for name, (_, text) in SMUGGLING.items()}

    def judge(_):
        problems = []
        for name, conn in conns.items():
            kind, order = SMUGGLING[name][0], conn.seen.order
            was_refused = (not order and conn.how in ("closed", "reset")) or (len(order) == 1 and order[0] in REFUSALS)
            second = 200 in order
            # A refused second is the rest of the bytes read as garbage, which does no harm.
            fits = {REJECT: was_refused,
                    ONE: not second and all(status in REFUSALS for status in order[1:]),
                    CLEAR: was_refused or (len(order) == 2 and order[1] == 200)}[kind]
            shot.detail.append({"shape": name, "demand": kind, "statuses": order, "end": conn.how, "ok": fits})
            if not fits:
                problems.append(f"{name}: {order} {conn.how} ({kind})")
        return problems

    shot = Shot(list(conns.values()), f"{len(conns)} shapes", judge)
    return shot


@attack("version lines", "plain", 8, 3, must_end=False, floor=8)
def version_lines(address, _n, _scale):
    """0.9 has no headers, 1.0 no keep-alive, 2.0 and 3.0 cannot be spoken here.
    Only 1.0 may be answered with the page, and must then be closed."""
    lines = {b"GET /metrics\r\n\r\n": False, b"GET /metrics HTTP/0.9\r\n\r\n": False,
             b"GET /metrics HTTP/1.0\r\n\r\n": True, b"GET /metrics HTTP/2.0\r\nHost: a\r\n\r\n": False,
             b"GET /metrics HTTP/3.0\r\nHost: a\r\n\r\n": False, b"GET /metrics HTTP/1.11\r\nHost: a\r\n\r\n": False,
             b"GET /metrics http/1.1\r\nHost: a\r\n\r\n": False,
             b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": False}
    conns = {line: Conn(address, [line]) for line in lines}

    def judge(_):
        problems = []
        for line, conn in conns.items():
            order, closed = conn.seen.order, conn.how in ("closed", "reset")
            good = order == [200] if lines[line] else all(status in REFUSALS for status in order)
            shot.detail.append({"line": repr(line[:24]), "statuses": order, "end": conn.how, "ok": good and closed})
            if not (good and closed):
                problems.append(f"{line[:24]!r}: {order} {conn.how}")
        return problems

    shot = Shot(list(conns.values()), f"{len(conns)} version lines", judge)
    return shot
