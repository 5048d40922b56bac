"""A pod as a node would start it, in namespaces of its own: run by pod.py under unshare, with a description of the pod on
standard input and what happened on standard output, both JSON. Volumes of Secrets and ConfigMaps are laid out as the kubelet
does, behind a link ..data that is swapped; the root file system is read-only and holds what the image holds."""

import ctypes
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path

USER = 65532
PR_SET_NO_NEW_PRIVS = 38


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14s", b"lo", 1, b""))  # SIOCSIFFLAGS, IFF_UP


class Projected:
    """A folder whose files change all at once."""

    def __init__(self, folder: Path, mode: int):
        self.folder, self.mode, self.turn = folder, mode, 0
        folder.mkdir()

    def write(self, files: dict[str, str]) -> None:
        self.turn += 1
        old, new = self.folder / f"..turn-{self.turn - 1}", self.folder / f"..turn-{self.turn}"
        new.mkdir()
        for name, text in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(self.mode)
            own(path)
        for path in (new, *(path for path in new.rglob("*") if path.is_dir())):
            path.chmod(0o755)
        (self.folder / "..data_tmp").symlink_to(new.name)
        (self.folder / "..data_tmp").rename(self.folder / "..data")
        for name in {name.split("/")[0] for name in files}:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        shutil.rmtree(old, ignore_errors=True)


def many_users() -> bool:
    """Whether the container's user can be taken, which an unprivileged namespace with its one user does not allow."""
    return int(Path("/proc/self/uid_map").read_text().split()[2]) > USER


def own(path: Path) -> None:
    if many_users():
        os.chown(path, 0, USER)


class Pod:
    def __init__(self, told: dict, folder: Path):
        self.told, self.folder = told, folder
        self.root = folder / "root"
        self.projected: dict[str, Projected] = {}

    def lay_out(self) -> None:
        for name in ("usr/bin", "etc/ssl", "dev", "proc", "var/lib/push-exporter"):
            (self.root / name).mkdir(parents=True)
        mount("--bind", self.root, self.root)
        for name in ("lib", "lib64"):
            if Path("/", name).is_symlink():
                (self.root / name).symlink_to(f"usr/{name}")
        for name in ("usr", "etc/ssl", "dev", "proc"):
            mount("--rbind", f"/{name}", self.root / name)
        shutil.copy(self.told["binary"], self.root / "push-exporter")
        for name, volume in self.told["volumes"].items():
            place = self.folder / name
            if volume["kind"] == "projected":
                self.projected[name] = Projected(place, volume["mode"])
                self.projected[name].write(volume["files"])
            else:
                place.mkdir()
                own(place)
                place.chmod(0o2775)
        (self.root / "etc/hosts").write_text(f"127.0.0.1 {' '.join(self.told['hosts'])}\n")
        for mounted in self.told["mounts"]:
            place = self.root / mounted["path"].lstrip("/")
            place.mkdir(parents=True, exist_ok=True)
            mount("--bind", self.folder / mounted["volume"], place)
            if mounted["readOnly"]:
                mount("-o", "remount,bind,ro", place)
        mount("-o", "remount,bind,ro", self.root)

    def confine(self) -> None:
        os.chroot(self.root)
        os.chdir("/var/lib/push-exporter")
        if many_users():
            os.setgroups([USER])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    def start(self, arguments: list[str], log) -> subprocess.Popen:
        environment = {"PATH": "/usr/bin", **self.told["environment"]}
        command = ["/push-exporter", *arguments]
        # preexec_fn is safe here: this process has one thread.
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, preexec_fn=self.confine)


def ask(asked: dict) -> tuple[int, str]:
    """Status, or 0 if there is none, and the body or what went wrong."""
    if asked.get("tls"):
        context = ssl.create_default_context(cadata=asked["tls"])
        connection = http.client.HTTPSConnection("localhost", asked["port"], timeout=10, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", asked["port"], timeout=10)
    try:
        connection.request(asked.get("method", "GET"), asked["path"], asked.get("body"), asked.get("headers", {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def wait_for(asked: dict, status: int, seconds: float, process: subprocess.Popen) -> tuple[int, str, float]:
    began = time.monotonic()
    while True:
        got, body = ask(asked)
        passed = time.monotonic() - began
        # A path that is not there does not come.
        if got in (status, 404) or passed > seconds or process.poll() is not None:
            return got, body[:2000], round(passed, 3)
        time.sleep(0.02)


def main() -> None:
    told = json.load(sys.stdin)
    folder = Path(told["folder"])
    loopback_up()
    pod = Pod(told, folder)
    pod.lay_out()
    happened: dict = {"checked": None, "tested": None, "asked": []}
    with (folder / "log").open("w+") as log:
        if told["check"]:
            happened["checked"] = pod.start(told["check"], log).wait(60)
        process = pod.start(told["arguments"], log)
        for step in told["steps"]:
            for name, files in step.get("write", {}).items():
                pod.projected[name].write(files)
            happened["asked"].append(wait_for(step, step["status"], step["seconds"], process))
        if told["test"]:
            happened["tested"] = pod.start(told["test"], log).wait(60)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        try:
            happened["exit"] = process.wait(told["grace"])
        except subprocess.TimeoutExpired:
            process.kill()
            happened["exit"] = None
        happened["stopped"] = round(time.monotonic() - began, 3)
        log.seek(0)
        happened["log"] = log.read()[-4000:]
    happened["ledger"] = {path.name: path.stat().st_uid for path in (folder / "ledger").glob("*")}
    json.dump(happened, sys.stdout)


if __name__ == "__main__":
    main()
