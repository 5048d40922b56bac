"""A Prometheus server of its own for a check, which ends with it."""

import json
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request


class Prometheus:
    """Serves a data folder on a free port, and scrapes nothing."""

    def __init__(self, data):
        self.folder = tempfile.TemporaryDirectory()
        path = pathlib.Path(self.folder.name, "prometheus.yml")
        path.write_text("global: {}\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                "prometheus", f"--config.file={path}", f"--storage.tsdb.path={data}", f"--web.listen-address=127.0.0.1:{port}",
                "--storage.tsdb.retention.time=10y", "--log.level=error",
            ],
        )
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.stop()
        raise SystemExit("prometheus does not start")

    def get(self, path, **parameters):
        """The data of an answer of its API."""
        data = urllib.parse.urlencode(parameters, doseq=True).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}", data=data, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{path} {parameters}: {error.read().decode()}") from None

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
