"""What is measured while attacks are under way: the attacked processes' memory and descriptors, and whether
a well-behaved scraper still gets its page."""

import collections
import contextlib
import itertools
import os
import re
import socket
import ssl
import threading
import time
import zlib

from connections import CONTEXTS
from limits import SCRAPE_EVERY
from wire import head


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
                blind = [conn for conn in list(self.engine.conns)
                         if not conn.read and conn.connected and not conn.ended]
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
