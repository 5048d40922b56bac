"""A container of an image, as `docker run --read-only --cap-drop ALL --security-opt no-new-privileges` would start it: by
`buildah run` with the user, the folder and the entrypoint of the image, its root mounted read-only. Wants a mount
namespace, a process namespace and a network of its own, which end what it leaves."""

import http.client
import json
import os
import signal
import subprocess
import time
from pathlib import Path

PORT = 10110
USER = 65532


class Wrong(Exception):
    """Something is not as it should be."""


def need(is_so: object, otherwise: str) -> None:
    if not is_so:
        raise Wrong(otherwise)


def command(*arguments: object) -> str:
    """What a program says; it has to succeed."""
    told = subprocess.run([str(part) for part in arguments], capture_output=True, text=True, check=False, timeout=120)
    need(told.returncode == 0, f"{' '.join(map(str, arguments[:3]))}: {told.stderr.strip()}")
    return told.stdout.strip()


def get(path: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """The answer of the exporter, or 0 if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    try:
        connection.request("POST" if data else "GET", path, data, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


class Container:
    """`mounts` says where a folder of this machine is mounted, or an empty one in memory (None); `resolver` is a resolv.conf
    in the place of this machine's."""

    def __init__(self, image: str, mounts: dict[str, Path | None], resolver: Path | None = None):
        self.resolver = ["--volume", f"{resolver}:/etc/resolv.conf:ro"] if resolver else []
        self.config = json.loads(command("buildah", "inspect", "--type", "image", image))["Docker"]["config"]
        self.name = command("buildah", "from", "--pull-never", image)
        self.root = Path(command("buildah", "mount", self.name))
        # What buildah mounts over, since it cannot make it afterwards.
        for folder in ("dev", "proc", "sys", "run"):
            (self.root / folder).mkdir(exist_ok=True)
        for file in ("hosts", "hostname", "resolv.conf"):
            (self.root / "etc" / file).touch()
        command("mount", "--bind", self.root, self.root)
        self.mounts = {"/run": None, **mounts}
        for where, source in self.mounts.items():
            target = self.root / where.strip("/")
            if source:
                command("mount", "--bind", source, target)
            else:
                command("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", target)
        command("mount", "-o", "remount,bind,ro", self.root)
        self.before = self.tree()

    def tree(self) -> dict[str, tuple]:
        """What the image's own files are like."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            where = "/" + str(Path(folder).relative_to(self.root)).strip(".")
            folders[:] = [name for name in folders if str(Path(where, name)) not in self.mounts]
            for name in (*folders, *files):
                status = os.lstat(Path(folder, name))
                found[str(Path(where, name))] = (status.st_mode, status.st_size, status.st_mtime_ns)
        return found

    def start(self, *arguments: str, **options: object) -> subprocess.Popen:
        run = ["setpriv", "--no-new-privs", "buildah", "run", "--cap-drop", "all", *self.resolver, self.name, "--"]
        return subprocess.Popen([*run, *arguments], text=True, **options)

    def once(self, *arguments: str) -> tuple[int, str]:
        """A command that ends: its exit code and all that it says."""
        with self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            told, _ = process.communicate(timeout=60)
        return process.returncode, told

    def health(self) -> int:
        """The health check of the image."""
        return self.once(*self.config["Healthcheck"]["Test"][1:])[0]

    def serve(self, log: Path, *arguments: str) -> "Serving":
        """The entrypoint with these arguments, or with those of the image."""
        return Serving(self, log, [*self.config["Entrypoint"], *(arguments or self.config["Cmd"])])

    def close(self) -> None:
        need(self.tree() == self.before, "files of the image have changed")
        command("umount", "--recursive", self.root)
        command("buildah", "rm", self.name)


class Serving:
    """An exporter in a container. `started` is the moment when its program began, `waited` how long that took."""

    def __init__(self, container: Container, log: Path, arguments: list[str]):
        self.container, self.log = container, log
        begin = time.monotonic()
        with log.open("w") as file:
            self.process = container.start(*arguments, stdout=file, stderr=file)
        self.pid = self.program()
        self.started = time.monotonic()
        self.waited = self.started - begin

    def program(self) -> int:
        """Its process, as soon as it is there; what buildah starts it by has another name."""
        until = time.monotonic() + 30
        while time.monotonic() < until and self.process.poll() is None:
            for entry in os.listdir("/proc"):
                try:
                    if entry.isdigit() and Path("/proc", entry, "comm").read_text() == "push-exporter\n":
                        return int(entry)
                except OSError:
                    pass
        raise Wrong(f"the container does not start: {self.said()}")

    def said(self) -> str:
        return self.log.read_text("utf-8")

    def first(self, *wanted: str, seconds: float = 30) -> tuple[float, str]:
        """The first page that has all of this, and how long after the start of the program it came."""
        while time.monotonic() < self.started + seconds:
            status, page = get("/metrics")
            if status == 200 and all(text in page for text in wanted):
                return time.monotonic() - self.started, page
            need(self.process.poll() is None, f"it has ended: {self.said()}")
            time.sleep(0.001)
        raise Wrong(f"no page with {', '.join(wanted)} within {seconds} s: {self.said()}")

    def confined(self) -> None:
        """The user and no other, no capabilities, a read-only root."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        need(set(status["Uid"].split()) == {str(USER)}, f"it runs as {status['Uid']}")
        groups = status["Gid"].split() + status["Groups"].split()
        need(set(groups) == {str(USER)}, f"its groups are {groups}")
        need(int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0, "it has capabilities")
        need(status["NoNewPrivs"] == "1", "it may get privileges")
        mounts = [line.split() for line in Path(f"/proc/{self.pid}/mountinfo").read_text().splitlines()]
        root = [mount[5].split(",") for mount in mounts if mount[4] == "/"]
        need(root and "ro" in root[-1], f"its root is {root}")

    def stop(self) -> float:
        """By SIGTERM, as a container engine does; how long it took."""
        begin = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            raise Wrong(f"it has not ended 5 s after SIGTERM: {self.said()}") from None
        need(status == 0, f"it ends with {status}: {self.said()}")
        return time.monotonic() - begin
