"""Checks the units and the files of the Debian package that need no build: what systemd thinks of the units, how much the
service is exposed, whether it holds what it promises, and whether the package's files are there and fit together. Prints what
was checked, a line each; then what is wrong; exit code 1 if something is. Needs systemd (Debian package), and what
deploy/package_files.rs generates."""

import re
import shlex
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

import common
from common import read, told

# What `systemd-analyze security` finds, times ten; deploy/systemd/push-exporter.service is allowed no more.
EXPOSURE = 11
PROGRAMS = ["systemd-analyze"]


class Package:
    def __init__(self, root: Path, generated: Path):
        self.root = root
        self.generated = generated
        self.units = root / "deploy/systemd"
        self.service = self.units / "push-exporter.service"
        self.socket = self.units / "push-exporter.socket"
        self.debian = root / "deploy/debian"
        self.deb = tomllib.loads((root / "Cargo.toml").read_text("utf-8"))["package"]["metadata"]["deb"]

    def installed(self) -> dict[str, str]:
        """Where each file of the package comes from."""
        found = {}
        for source, target, *_ in self.deb["assets"]:
            for path in self.sources(source):
                name = Path(path).name if target.endswith("/") else ""
                found["/" + target + name] = str(path)
        for unit in (self.service, self.socket):
            found["/usr/lib/systemd/system/" + unit.name] = str(unit)
        return found

    def sources(self, source: str) -> list[Path]:
        """The files of an asset; the program, which this does not build, is there in any case."""
        if source.startswith("target/release/"):
            return [Path(source)]
        generated = source.removeprefix("target/package/")
        return sorted(self.root.glob(source) if generated == source else self.generated.glob(generated))


def settings(unit: Path) -> Iterator[tuple[str, str]]:
    """In their order; one that stands twice comes twice."""
    for line in unit.read_text("utf-8").splitlines():
        if "=" in line and not line.startswith(("#", ";")):
            yield tuple(line.split("=", 1))


def verify(package: Package) -> Iterator[str]:
    """In a root of its own, where the programs that the units name exist; what else is not there is systemd's own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        units = root / "etc/systemd/system"
        units.mkdir(parents=True)
        for unit in (package.service, package.socket):
            shutil.copy(unit, units)
        for target in ("sysinit", "basic", "shutdown", "sockets", "network-online", "time-sync", "multi-user"):
            (units / f"{target}.target").write_text(f"[Unit]\nDescription={target}\n", "utf-8")
        for program in ("usr/bin/push-exporter", "bin/sh"):
            (root / program).parent.mkdir(parents=True, exist_ok=True)
            (root / program).touch(0o755)
        good, said = told("systemd-analyze", "verify", "--man=no", f"--root={root}", package.service.name, package.socket.name)
        # A line of what does not concern these units would name another one.
        lines = [line for line in said.splitlines() if "push-exporter" in line]
    if not good or lines:
        yield from lines or [said]
    return "systemd finds nothing wrong with service and socket"


def exposure(package: Package) -> Iterator[str]:
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true"]
    good, said = told(*command, f"--threshold={EXPOSURE}", package.service)
    if not good:
        yield from [line for line in said.splitlines() if line.startswith("✗")] or [said]
        yield f"{said.splitlines()[-1]}; at most {EXPOSURE / 10} is promised"
    return f"systemd-analyze security: {EXPOSURE / 10}"


def promises(package: Package) -> Iterator[str]:
    """What deb.sh does not see: it sets a watchdog of its own, and a service that does not notify starts too."""
    found = list(settings(package.service))
    started = [value for key, value in found if key == "ExecStart"]
    if len(started) != 1 or shlex.split(started[0])[-1] != "$ARGS":
        yield f"ExecStart does not end with $ARGS: {started}"
    if ("Type", "notify") not in found or not any(key == "WatchdogSec" for key, _ in found):
        yield "Type=notify or WatchdogSec is missing"
    return "flags from ARGS, notify, a watchdog"


def flags(package: Package) -> Iterator[str]:
    """Flags that units and documents of the package name are flags of the program."""
    known = set(re.findall(r'long = "([\w.-]+)"', (package.root / "src/commands/cli.rs").read_text("utf-8"))) | {"offline"}
    named = [
        (package.service, word.split("=")[0])
        for key, command in settings(package.service)
        if key.startswith("Exec") and shlex.split(command)[0] == "/usr/bin/push-exporter"
        for word in shlex.split(command)
        if word.startswith("--")
    ]
    for path in (package.socket, *(package.debian / name for name in ("push-exporter.default", "README.Debian", "postinst"))):
        # The flags of systemctl and install are others.
        named += [(path, flag) for flag in re.findall(r"--(?:web|config|log)[\w.-]*\w", path.read_text("utf-8"))]
    for path, flag in named:
        if flag[2:] not in known:
            yield f"{path.name}: {flag} is no flag of push-exporter"
    return f"{len(named)} flags that are named exist"


def configuration(package: Package) -> Iterator[str]:
    path = package.generated / "push-exporter.yml"
    config = read(path)
    state = dict(settings(package.service))["StateDirectory"]
    if config["ledger"] != f"sqlite:/var/lib/{state}/push-exporter.db":
        yield f"the ledger {config['ledger']} is not in the service's StateDirectory"
    secrets = re.findall(r"^[^#]*_file: (\S+)", path.read_text("utf-8"), re.M)
    for secret in secrets:
        if not re.fullmatch(r"secrets/[a-z-]+", secret):
            yield f"the secret {secret} is not in the folder that the service gets"
    return f"the example with the ledger in /var/lib/{state}; {len(secrets)} secrets in their folder"


def package_files(package: Package) -> Iterator[str]:
    for source, target, *_ in package.deb["assets"]:
        if not package.sources(source):
            yield f"{source}, for /{target}, is not there"
    for key in ("license-file", "changelog"):
        name = package.deb[key] if isinstance(package.deb[key], str) else package.deb[key][0]
        if not (package.root / name).is_file():
            yield f"{key}: {name} is not there"
    installed = package.installed()
    for _, command in (found for found in settings(package.service) if found[0].startswith("Exec")):
        program = shlex.split(command)[0]
        if program not in [*installed, "/bin/sh"]:
            yield f"the service runs {program}, which the package does not bring"
    for script in ("postinst", "prerm", "postrm"):
        good, said = told("sh", "-n", package.debian / script)
        if not good or "\n#DEBHELPER#\n" not in (package.debian / script).read_text("utf-8"):
            yield f"{script}: {said or 'has no place for #DEBHELPER#'}"
    return f"{len(installed)} files that are there; scripts"


CHECKS = [
    ("units", verify),
    ("service, exposure", exposure),
    ("service, settings", promises),
    ("flags", flags),
    ("configuration", configuration),
    ("Debian package", package_files),
]


def main() -> int:
    arguments = common.parser(__doc__)
    arguments.add_argument("--package-files", type=Path, required=True, help="the folder that deploy/package_files.rs fills")
    arguments = arguments.parse_args()
    package = Package(arguments.root.resolve(), arguments.package_files.resolve())
    return common.main([(name, check(package)) for name, check in CHECKS], PROGRAMS)


if __name__ == "__main__":
    sys.exit(main())
