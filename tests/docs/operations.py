"""Does what docs/operations.md tells operators to do with a ledger: backup, restore, upgrade, moving, losing, two of them,
renaming, forgetting. The commands are those of docs/operations.md, with other paths; so are the messages.

Usage: operations.py --exporter PROGRAM

Needs sqlite3. Prints what was tried, a line each; exit code 1 if something is not as docs/operations.md says."""

import argparse
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from documents import ROOT
from provider import Provider

import common

TOKEN = "a token of senders"
DOCUMENT = (ROOT / "docs/operations.md").read_text("utf-8")


def blocks(heading: str, language: str = "sh") -> list[str]:
    section = re.split(r"^## ", re.split(rf"^## {heading}$", DOCUMENT, flags=re.M)[1], flags=re.M)[0]
    return [text for name, text in re.findall(r"^```(\w*)\n(.*?)^```$", section, re.M | re.S) if name == language]


class Wrong(ValueError):
    """Not as docs/operations.md says."""


class Trial:
    """A folder with a ledger and a configuration, and the exporter that uses it."""

    started: list[subprocess.Popen] = []

    def __init__(self, exporter: str, provider: Provider, folder: Path, chat: str = "chat"):
        self.exporter, self.provider, self.folder, self.chat, self.process = exporter, provider, folder, chat, None
        self.state = folder / "lib"
        self.state.mkdir(parents=True)
        (folder / "token").write_text(TOKEN)

    @property
    def ledger(self) -> Path:
        return self.state / "push-exporter.db"

    def start(self) -> None:
        config = self.folder / "push-exporter.yml"
        config.write_text(
            f"ledger: sqlite:{self.ledger}\nnew_series_hold: 0s\nmessage_api: {{token_file: token}}\n"
            f"easemob: [{{app: {self.chat}, base_url: '{self.provider.url}', org_name: acme, app_name: chat, client_id: i,"
            f" client_secret: s, interval: 1s}}]\n"
            f"jpush: [{{app: shop, base_url: '{self.provider.url}/v3', app_key: k, master_secret: s, interval: 1s}}]\n"
        )
        log = (self.folder / "log").open("w")
        command = [self.exporter, f"--config.file={config}", "--web.listen-address=127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        self.started.append(self.process)
        self.url = f"http://{until('it listens', self.address)}"

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def address(self) -> str | None:
        if self.process.poll() is not None:
            raise Wrong(f"it does not start: {self.said()}")
        found = re.search(r'"listening on" address=(\S+)', self.said())
        return found and found[1]

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            if self.process.wait(10) != 0:
                raise Wrong(f"exit code {self.process.returncode} at SIGTERM")

    def refused(self) -> str:
        """What it says when it does not start."""
        try:
            self.start()
        except Wrong as said:
            if self.process.returncode != 1:
                raise Wrong(f"exit code {self.process.returncode}, not 1")
            return str(said)
        self.stop()
        raise Wrong("it starts")

    def value(self, series: str) -> float | None:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as page:
            found = re.search(rf"^{re.escape(series)} (\S+)$", page.read().decode(), re.M)
        return float(found[1]) if found else None

    def sent(self) -> float | None:
        labels = f'provider="easemob",app="{self.chat}",platform="android",channel="huawei",kind="notification"'
        return self.value(f"push_messages_sent_total{{{labels}}}")

    def received(self) -> float | None:
        labels = 'provider="jpush",app="shop",platform="any",channel="jpush",kind="any"'
        return self.value(f"push_messages_received_total{{{labels}}}")

    def sqlite(self, query: str) -> str:
        done = subprocess.run(["sqlite3", self.ledger, query], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Wrong(f"{query}: {done.stderr}")
        return done.stdout.strip()

    def run(self, block: str, more: dict[str, str] | None = None) -> None:
        """A block of docs/operations.md with this trial's paths."""
        paths = {"/var/lib/push-exporter": self.state, "/var/backups": self.folder, "/etc/push-exporter": self.folder}
        paths |= {"push-exporter backup": f"{self.exporter} backup"} | (more or {})
        for path, other in paths.items():
            block = block.replace(path, str(other))
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)
        if done.returncode != 0:
            raise Wrong(f"fails: {block}\n{done.stderr}")


def until(what: str, condition: Callable):
    ends = time.monotonic() + 20
    while not (result := condition()):
        if time.monotonic() > ends:
            raise Wrong(f"not within 20 s: {what}")
        time.sleep(0.05)
    return result


def counts(trial: Trial, total: float) -> None:
    until(f"{total:g} sent, not {trial.sent()}", lambda: trial.sent() == total)


def is_said(text: str, heading: str, language: str = "") -> None:
    """docs/operations.md has the message, whatever path, time and numbers it has there."""
    bare = lambda line: re.sub(r"\S*push-exporter\.db|\d+", "…", line)  # noqa: E731
    wanted = [bare(line) for block in blocks(heading, language) for line in block.splitlines()]
    if not any(line in bare(text) for line in wanted):
        raise Wrong(f"“{heading}” says {wanted}, it says {text}")


def backup(trial: Trial) -> Iterator[str]:
    trial.provider.sent = 1000
    trial.start()
    counts(trial, 0)
    trial.provider.sent = 1100
    counts(trial, 100)
    first, second = blocks("Backup and restore")
    trial.run(first)
    trial.provider.sent = 1250
    counts(trial, 250)
    trial.stop()
    left = sorted(path.name for path in trial.state.iterdir())
    if left != ["push-exporter.db", "push-exporter.db.lock"]:
        yield f"a clean stop leaves {', '.join(left)}"
    trial.ledger.write_bytes(trial.ledger.read_bytes()[:5000])
    if "is damaged or not a ledger" not in trial.refused():
        yield f"of a ledger that was cut it says: {trial.said()}"
    trial.run(second)
    trial.start()
    counts(trial, 250)
    trial.provider.sent = 1300
    counts(trial, 300)
    return "the copy of a running ledger goes on and catches up"


def lock(trial: Trial) -> Iterator[str]:
    other = Trial(trial.exporter, trial.provider, trial.folder / "second")
    other.state = trial.state
    is_said(other.refused(), "Two exporters by mistake")
    yield from ()
    return "a second one with the same ledger is refused, in these words"


def downgrade(trial: Trial) -> Iterator[str]:
    trial.stop()
    schema = int(trial.sqlite("PRAGMA user_version"))
    # Of whatever release: one that does not change the schema need not be named.
    if not re.search(rf"\b\d+\.\d+\.\d+ has {schema}\.", " ".join(DOCUMENT.split())):
        yield f"the schema is {schema}"
    trial.sqlite(f"PRAGMA user_version = {schema + 1}")
    is_said(trial.refused(), "Upgrade and downgrade")
    trial.sqlite(f"PRAGMA user_version = {schema}")
    trial.start()
    counts(trial, trial.provider.sent - 1000)
    return f"schema {schema + 1} is refused, in these words, and nothing is changed"


def rename(trial: Trial) -> Iterator[str]:
    trial.stop()
    trial.run(blocks("Renaming or forgetting an app")[0])
    trial.chat = "talk"
    trial.start()
    trial.provider.sent += 10
    counts(trial, trial.provider.sent - 1000)
    yield from ()
    return "counters go on under the new name"


def forget(trial: Trial) -> Iterator[str]:
    trial.stop()
    before, trial.chat = trial.chat, "other"
    trial.run(blocks("Renaming or forgetting an app")[1])
    trial.start()
    until("the ledger to know the other", lambda: "other" in trial.sqlite("SELECT name FROM app"))
    names = trial.sqlite("SELECT name FROM app ORDER BY name").split()
    if names != ["other", "shop"]:
        yield f"the ledger knows {names}"
    if trial.sqlite("SELECT count(*) FROM series WHERE app NOT IN (SELECT id FROM app)") != "0":
        yield "series are left"
    counts(trial, 0)
    return f"{before} is gone with the next start; another name begins from a baseline"


def lose(trial: Trial) -> Iterator[str]:
    trial.stop()
    away = trial.folder / "away"
    away.mkdir()
    for path in trial.state.glob("push-exporter.db*"):
        path.rename(away / path.name)
    trial.start()
    is_said(trial.said(), "Moving or losing the ledger")
    counts(trial, 0)
    trial.provider.sent += 7
    counts(trial, 7)
    yield from ()
    return "a new one begins from a baseline and says so"


def move(trial: Trial) -> Iterator[str]:
    trial.stop()
    here = trial.state
    trial.state = trial.folder / "new"
    trial.state.mkdir()
    (here / "push-exporter.db").rename(trial.ledger)
    trial.start()
    trial.provider.sent += 3
    counts(trial, 10)
    yield from ()
    return "the file alone goes on elsewhere after a clean stop"


def merge(trial: Trial) -> Iterator[str]:
    other = Trial(trial.exporter, trial.provider, trial.folder / "two", trial.chat)
    other.start()
    text = f'{{"app": "shop", "msg_id": "38280845540235675", "sent_at": {int(time.time())}}}'
    request = urllib.request.Request(f"{other.url}/api/v1/messages", text.encode())
    request.add_header("Authorization", f"Bearer {TOKEN}")
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request, timeout=5).close()
    trial.provider.received = 40
    until("the other one counts it", lambda: other.received() == 40)
    other.stop()
    paths = {"other/push-exporter.db": str(other.ledger), "http://push-exporter:10110": trial.url}
    paths |= {"secrets/message-api": "token", "push-exporter messages": f"{trial.exporter} messages"}
    trial.run(blocks("Two exporters by mistake")[0], paths)
    until("the one that stays counts it", lambda: trial.received() == 40)
    yield from ()
    return "messages of the one go over to the other"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--exporter", required=True, metavar="PROGRAM")
    exporter = str(Path(arguments.parse_args().exporter).resolve())
    tried = [backup, lock, downgrade, rename, forget, lose, move, merge]
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(exporter, Provider(), Path(folder) / "trial")
        try:
            # Each begins where the one before ended.
            return common.main((step.__name__, step(trial)) for step in tried)
        finally:
            for process in Trial.started:
                process.kill()


if __name__ == "__main__":
    sys.exit(main())
