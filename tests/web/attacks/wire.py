"""The bytes that attacks send, and readers of what comes back, for HTTP/1 and HTTP/2.
Made by hand, since a library would refuse to send most of it."""

import collections
import re
import struct


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
