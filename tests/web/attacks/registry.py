"""The list of attacks, which the modules of attacks fill by a decorator, and what they are written with.
An attack is a function that makes connections and says what to demand of them."""

import collections
import itertools
import struct

from connections import Conn
from limits import MAX_SWALLOWED, REFUSALS
from report import brief
from wire import PREFACE, WINDOW, frame, settings

Attack = collections.namedtuple("Attack", "name function port count limit slow must_end alone floor")
ATTACKS = []


def attack(name, port, count, limit, slow=False, must_end=True, alone=False, floor=1):
    """`count`: connections at scale 1 (`floor` at least). `slow`: waits for a timer, so it shares a wave with others.
    `must_end`: the server must have ended all connections within `limit` + GRACE; else they are just closed then."""
    def add(function):
        ATTACKS.append(Attack(name, function, port, count, limit, slow, must_end, alone, floor))
        return function
    return add


class Shot:
    """What an attack did: its connections, a text, and optionally what else to demand of them once they are over."""

    def __init__(self, conns, what, judge=None):
        self.conns, self.what, self.judge, self.detail = conns, what, judge, []


def drip(data, every=1.0):
    for at in range(len(data)):
        yield data[at:at + 1]
        yield every


def repeat(chunk, total=None):
    """`chunk` for ever, or until `total` bytes."""
    return itertools.repeat(chunk) if total is None else itertools.repeat(chunk, max(1, total // len(chunk)))


def then(*parts):
    for part in parts:
        if isinstance(part, (bytes, int, float)):
            yield part
        else:
            yield from part


def refused(conns):
    """For heads and bodies over a limit: any answer other than a refusal means that the limit was not applied."""
    bad = collections.Counter()
    for conn in conns:
        # A path that is off or wants a token may say so without looking at the body, if the connection then ends.
        by_path = (401, 404, 405) if conn.ended and conn.how != "by us" else ()
        bad.update({status: n for status, n in conn.seen.statuses.items()
                    if status not in REFUSALS and status not in by_path})
    problems = [f"{n} x {status} although over the limit" for status, n in bad.items()]
    if swallowed := [conn.sent for conn in conns if conn.sent > MAX_SWALLOWED]:
        problems.append(f"{len(swallowed)} went on reading, up to {brief(max(swallowed))}")
    return problems


def h2(address, *parts, opening=None, **options):
    return Conn(address, then(PREFACE + (opening or settings()), *parts), tls="h2", **options)


def h2_wide(address, *parts, **options):
    """With windows that never fill: a page above 64 KiB would else stop in the middle, as nothing here opens them."""
    wide = frame(WINDOW, 0, 0, struct.pack(">I", 2**31 - 65536))
    return h2(address, wide, *parts, opening=settings(initial_window=2**31 - 1), **options)
