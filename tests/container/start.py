"""Starts a built image: the demo, then a configuration whose providers cannot be reached, twice on one volume, then without
a volume, and `check` against a server with an unknown certificate. Prints what was seen, with times, a line each.

    unshare --mount --net --pid --fork --mount-proc start.py NAME REVISION FOLDER    # FOLDER: for what is thrown away"""

import os
import re
import sys
import tomllib
from pathlib import Path

from container import USER, Container, Wrong, command, get, need
from unknown import Unknown

ROOT = Path(__file__).resolve().parents[2]
STATE = "/var/lib/push-exporter"
SETTINGS = "/etc/push-exporter"
# Port 9 of a network that has nothing but this.
CONFIG = f"""
ledger: sqlite:{STATE}/push-exporter.db
new_series_hold: 1s
message_api: {{token_file: secrets/message-api}}
jpush: [{{app: shop, app_key: 7d431e42dfa6a6d693ac2d04, master_secret_file: secrets/jpush, base_url: "http://127.0.0.1:9"}}]
easemob: [{{app: chat, base_url: "http://127.0.0.1:9", org_name: acme, app_name: chat, app_token: unused}}]
"""
REGISTERED = 'push_messages_registered_total{provider="jpush",app="shop",source="api"} 1\n'


def settings(folder: Path, text: str) -> Path:
    """The folder with a configuration, which the user of the image may read."""
    (folder / "secrets").mkdir(parents=True)
    (folder / "push-exporter.yml").write_text(text)
    for name in ("message-api", "jpush"):
        (folder / "secrets" / name).write_text("of-this-test\n")
    return folder


def volume(folder: Path, image: Path) -> Path:
    """As a container engine makes it: empty, with owner and mode of what it is mounted over."""
    status = (image / STATE.strip("/")).stat()
    folder.mkdir(mode=status.st_mode & 0o7777)
    os.chown(folder, status.st_uid, status.st_gid)
    return folder


def built(page: str, revision: str) -> None:
    version = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["package"]["version"]
    found = re.search(r"^push_exporter_build_info\{(.*)\} 1$", page, re.M)
    labels = dict(re.findall(r'(\w+)="([^"]*)"', found[1])) if found else {}
    need(labels == {"version": version, "revision": revision}, f"build_info is {labels}")


def demo(image: str, revision: str, folder: Path) -> str:
    container = Container(image, {"/tmp": None})
    serving = container.serve(folder / "demo.log", "demo")
    first, page = serving.first("push_exporter_build_info{")
    built(page, revision)
    series = [f'push_messages_sent_total{{provider="{provider}"' for provider in ("jpush", "easemob", "feishu")]
    complete, page = serving.first(*series)
    serving.confined()
    need(container.health() == 0, "the health check fails")
    stopped = serving.stop()
    need(container.health() == 1, "the health check passes when nothing runs")
    left = os.listdir(container.root / "tmp")
    need(not left, f"the demo leaves {left} in /tmp")
    container.close()
    return (
        f"first page {1000 * first:.0f} ms after the start of the program (which took buildah {1000 * serving.waited:.0f} ms), "
        f"delivery of all three providers after {1000 * complete:.0f} ms, stopped in {1000 * stopped:.0f} ms"
    )


def register() -> None:
    headers = {"Authorization": "Bearer of-this-test", "Content-Type": "application/json"}
    answer = get("/api/v1/messages", b'{"app": "shop", "msg_id": "1613113584"}', headers)
    need(answer[0] == 200, f"a message is not registered: {answer}")


def configured(image: str, revision: str, folder: Path) -> str:
    """What was counted is there after a restart. Nothing but the volume is written."""
    read = settings(folder / "settings", CONFIG)
    container = Container(image, {SETTINGS: read})
    state = volume(folder / "state", container.root)
    container.close()
    container = Container(image, {SETTINGS: read, STATE: state})
    need(container.once("push-exporter", "check", "--offline")[0] == 0, "check does not find the configuration")
    serving = container.serve(folder / "first.log")
    first, page = serving.first("push_exporter_build_info{")
    built(page, revision)
    serving.confined()
    serving.first('push_poll_failing{provider="easemob",app="chat",report="offline_push",reason="network"} 1')
    need(get("/")[0] == 200, "there is no status page")
    need(container.health() == 0, "the health check fails")
    register()
    serving.first(REGISTERED)
    stopped = serving.stop()
    need("created a new ledger" in serving.said(), "the first start found a ledger")
    for file in state.iterdir():
        need(file.stat().st_uid == USER, f"{file.name} is of the user {file.stat().st_uid}")
    again = container.serve(folder / "second.log")
    second, _ = again.first(REGISTERED)
    again.stop()
    need("created a new ledger" not in again.said(), "the second start found no ledger")
    container.close()
    return (
        f"first page after {1000 * first:.0f} ms, stopped in {1000 * stopped:.0f} ms; "
        f"on the same volume after {1000 * second:.0f} ms, with what was counted"
    )


def without_volume(image: str, folder: Path) -> str:
    container = Container(image, {SETTINGS: settings(folder / "alone", CONFIG)})
    code, said = container.once(*container.config["Entrypoint"], *container.config["Cmd"])
    need(code == 1 and f"{STATE}/push-exporter.db" in said, f"without a volume it ends with {code}: {said}")
    container.close()
    return "says so and ends with 1"


def trust(image: str, folder: Path) -> str:
    """Names are resolved, certificates are there and are used: an unknown one is refused, and taken with `ca_file`."""
    with Unknown(folder / "tls") as server:
        app = f'easemob: [{{app: chat, base_url: "{server.url}", org_name: acme, app_name: chat, app_token: unused}}]\n'
        read = settings(folder / "trust", f"ledger: sqlite:{STATE}/push-exporter.db\n{app}")
        (read / "ca.pem").write_bytes(server.ca.read_bytes())
        (read / "ca.yml").write_text((read / "push-exporter.yml").read_text() + "ca_file: ca.pem\n")
        resolver = folder / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.1\n")
        container = Container(image, {SETTINGS: read}, resolver)
        _, refused = container.once("push-exporter", "check")
        need("UnknownIssuer" in refused, f"an unknown certificate is not refused: {refused}")
        need(server.requests == 0, "a request came to a server with an unknown certificate")
        _, taken = container.once("push-exporter", "check", "--config.file=ca.yml")
        need("UnknownIssuer" not in taken and server.requests > 0, f"no request came with ca_file: {taken}")
        container.close()
    return "names are resolved, an unknown certificate is refused, and taken with ca_file"


def main() -> int:
    image, revision, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    command("ip", "link", "set", "lo", "up")
    try:
        print(f"ok      demo: {demo(image, revision, folder)}", flush=True)
        print(f"ok      configuration: {configured(image, revision, folder)}", flush=True)
        print(f"ok      without a volume: {without_volume(image, folder)}", flush=True)
        print(f"ok      TLS: {trust(image, folder)}", flush=True)
    except Wrong as wrong:
        print(f"FAILED  {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
