"""The attacking connections, thousands of them in one thread: a thread each would measure the attacker.
Nothing here knows what an attack is."""

import contextlib
import heapq
import itertools
import os
import selectors
import socket
import ssl
import threading
import time

from wire import H1, H2


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
