"""A provider with a certificate that nobody knows, under a name that only a DNS server of its own knows. Both listen on
127.0.0.1, the DNS server on port 53, so in a network of its own."""

import http.server
import socketserver
import ssl
import struct
import threading
from pathlib import Path

from container import command

NAME = "provider.test"
ADDRESS = bytes([127, 0, 0, 1])
TYPE_A = 1


class Names(socketserver.BaseRequestHandler):
    """Answers every question for an IPv4 address with ADDRESS, all others with nothing."""

    def handle(self) -> None:
        query, socket = self.request
        end = query.index(b"\0", 12) + 5
        question = query[12:end]
        is_address = struct.unpack("!H", question[-4:-2])[0] == TYPE_A
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, int(is_address), 0, 0)
        answer = struct.pack("!HHHIH", 0xC00C, TYPE_A, 1, 60, len(ADDRESS)) + ADDRESS
        socket.sendto(head + question + (answer if is_address else b""), self.client_address)


class Unknown:
    def __init__(self, folder: Path):
        folder.mkdir()
        self.ca, ca_key = folder / "ca.pem", folder / "ca.key"
        certificate, key = folder / "server.pem", folder / "server.key"
        new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
        command(*new, "-subj", "/CN=unknown", "-keyout", ca_key, "-out", self.ca)
        command(
            *new, "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-addext", "basicConstraints=CA:FALSE",
            "-CA", self.ca, "-CAkey", ca_key, "-keyout", key, "-out", certificate,
        )
        self.requests = 0
        unknown = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                unknown.requests += 1
                self.send_error(404)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        class Web(http.server.ThreadingHTTPServer):
            # A handshake that fails is what is wanted.
            def handle_error(self, *_: object) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.web = Web(("127.0.0.1", 0), Answers)
        self.web.socket = context.wrap_socket(self.web.socket, server_side=True, do_handshake_on_connect=False)
        self.names = socketserver.ThreadingUDPServer(("127.0.0.1", 53), Names)
        self.url = f"https://{NAME}:{self.web.server_port}"

    def __enter__(self) -> "Unknown":
        for server in (self.web, self.names):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self.web, self.names):
            server.shutdown()
            server.server_close()
