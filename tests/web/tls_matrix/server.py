"""The server under test: one process with a web configuration file and a folder of its own.
The command that starts it is the user's; it must listen on the port that it is given."""

import os
import random
import shlex
import socket
import subprocess
import tempfile
import threading
import time

import context
from certificates import read, write

ports, ports_lock = set(), threading.Lock()


def free_port():
    # below the ephemeral range: there a waiting connect() can meet itself
    while True:
        with ports_lock, socket.socket() as s:
            port = random.randrange(20000, 30000)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in ports:
                ports.add(port)
                return port


class Server:
    def __init__(self, config, bad=False):
        self.bad = bad      # a configuration to refuse
        self.dir = tempfile.mkdtemp(dir=os.path.dirname(context.PKI))
        os.mkdir(f"{self.dir}/server")
        self.config = f"{self.dir}/web.yml"
        if config is not None:
            self.configure(config)
        for _ in range(3):     # another program may take the port in between
            self.port = free_port()
            command = context.ARGS.server.replace("{config}", self.config).replace("{port}", str(self.port)).replace(
                "{dir}", f"{self.dir}/server")
            self.log = open(f"{self.dir}/log", "w+")
            self.process = subprocess.Popen(shlex.split(command), stdin=subprocess.DEVNULL, stdout=self.log,
                                            stderr=self.log)
            self.started = self.wait()
            if self.started or "in use" not in self.tail():
                break

    def wait(self):
        end = time.monotonic() + 15
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                if self.bad:
                    # the toolkit listens before it looks at everything, so it may still end
                    try:
                        self.process.wait(1)
                    except subprocess.TimeoutExpired:
                        pass
                return self.process.poll() is None
            except OSError:
                time.sleep(0.02)
        return False

    def configure(self, text):
        write(self.config, text.replace("@/", context.PKI + "/"))

    def whole_log(self):
        with open(f"{self.dir}/log", errors="replace") as f:
            return f.read()

    def tail(self):
        return self.whole_log()[-1500:]

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()


OWN = "tls_server_config:\n  cert_file: s.pem\n  key_file: s.key\n"


def own_pair(s, cert, key=None):
    """The server's own files, to be replaced under it."""
    write(f"{s.dir}/s.pem", read(cert + ".pem"))
    write(f"{s.dir}/s.key", read((key or cert) + ".key"))


class OwnFiles(Server):
    """One whose certificate and key are its own, beside its web configuration file: see own_pair."""

    def configure(self, text):
        own_pair(self, "server")
        super().configure(text)
