"""deploy/compose.yml and deploy/compose.replicas.yml: their keys and their values, whether the services are as they should be,
and their commands. What the other checks need of the services is here too."""

import re
from collections.abc import Iterator

import jsonschema

from common import read, told
from repository import Repository


def of(keys: dict, **more: object) -> dict:
    """The schema of a mapping with these keys and no others."""
    return {"type": "object", "properties": keys, "additionalProperties": False, **more}


def matching(pattern: str) -> dict:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


def unique(item: dict) -> dict:
    return {"type": "array", "items": item, "minItems": 1, "uniqueItems": True}


def by_name(value: dict) -> dict:
    return of({}, patternProperties={r"^[a-zA-Z0-9._-]+$": value}, minProperties=1)


# The keys of the Compose Specification that compose.yml uses, each in the one form in which it uses it. A key that is not
# here is an error: add it, as the Specification has it.
STRING = {"type": "string"}
DURATION = matching(r"(\d+(us|ms|s|m|h))+")
SERVICE = of(
    {
        "image": matching(r"[a-z0-9][a-z0-9./_-]*:[\w.-]+(@sha256:[0-9a-f]{64})?"),
        "build": matching(r"[./].*"),
        "command": {"type": "array", "items": STRING, "minItems": 1},
        "environment": by_name(STRING),
        "ports": unique(matching(r"(\d{1,3}(\.\d{1,3}){3}:)?\d{1,5}:\d{1,5}(/(tcp|udp))?")),
        # Beside this file, or a volume by its name.
        "volumes": unique(matching(r"(\.{1,2}/[^:]+|[a-zA-Z0-9][a-zA-Z0-9._-]*):/[^:]*(:(ro|rw))?")),
        "tmpfs": unique(matching(r"/[^:]*")),
        "read_only": {"type": "boolean"},
        "restart": matching(r"no|always|on-failure(:\d+)?|unless-stopped"),
        "cap_add": unique(matching(r"[A-Z_]+")),
        "cap_drop": unique(matching(r"[A-Z_]+")),
        "hostname": matching(r"[a-z0-9-]+"),
        "security_opt": unique(STRING),
        "healthcheck": of(
            {
                "test": {"type": "array", "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}], "items": STRING, "minItems": 2},
                "interval": DURATION,
                "timeout": DURATION,
                "start_period": DURATION,
                "retries": {"type": "integer", "minimum": 1},
            },
            required=["test"],
        ),
    },
    oneOf=[{"required": ["image"]}, {"required": ["build"]}],
)
COMPOSE = of(
    {"name": matching(r"[a-z0-9][a-z0-9_-]*"), "services": by_name(SERVICE), "volumes": by_name({"type": "null"})},
    required=["name", "services"],
    patternProperties={"^x-": {}},
)


def binds(service: dict) -> Iterator[tuple[str, str, str]]:
    """Folders and files of the repository: source, target, options. A named volume has no slash in its source."""
    for volume in service.get("volumes", []):
        source, target, *options = volume.split(":")
        if "/" in source:
            yield source, target, ":".join(options)


def named(service: dict) -> Iterator[str]:
    """Named volumes."""
    for volume in service.get("volumes", []):
        if "/" not in volume.split(":")[0]:
            yield volume.split(":")[0]


def ports(service: dict) -> Iterator[tuple[str, str, str]]:
    """Address and port of the host, or no address; port of the service."""
    for port in service.get("ports", []):
        yield ("", *port.rsplit(":", 2))[-3:]


def is_service(services: dict, host: str | None, port: int | str | None) -> str | None:
    """What is wrong with an address inside the Compose network."""
    if host not in services:
        return f"{host} is no service of compose.yml"
    inside = [inside for _, _, inside in ports(services[host])]
    return None if str(port) in inside else f"the service {host} listens on {', '.join(inside)}, not on {port}"


def keys(repository: Repository) -> Iterator[str]:
    everything = read(repository.compose_file)
    errors = jsonschema.Draft202012Validator(COMPOSE).iter_errors(everything)
    for error in sorted(errors, key=lambda error: list(map(str, error.path))):
        message = "has image and build, or neither" if error.validator == "oneOf" else error.message
        yield f"{'.'.join(map(str, error.path)) or 'the file'}: {message}"
    return f"the keys of {len(everything['services'])} services, and their values, are of the Compose Specification"


def override(repository: Repository) -> Iterator[str]:
    """What compose.config.yml changes: keys and values, services that are there, flags that the exporter has."""
    given = read(repository.root / "deploy/compose.config.yml")
    changed = {**SERVICE, "oneOf": [{}]}
    schema = of({"services": by_name(changed), "volumes": by_name({"type": "null"})}, required=["services"])
    for error in jsonschema.Draft202012Validator(schema).iter_errors(given):
        yield f"{'.'.join(map(str, error.path))}: {error.message}"
    source = (repository.root / "src/commands/cli.rs").read_text("utf-8")
    flags = 0
    for name, service in given["services"].items():
        if name not in repository.services:
            yield f"{name} is no service of compose.yml"
        for argument in service["command"][1:]:
            flags += 1
            if f'long = "{argument.split("=")[0].removeprefix("--")}"' not in source:
                yield f"the exporter does not know {argument}"
        for volume in named(service):
            if volume not in given["volumes"]:
                yield f"the volume {volume} is not declared"
        for source_path, target, options in binds(service):
            if options != "ro" or not any(target in argument for argument in service["command"]):
                yield f"{source_path} is mounted at {target}, {options}"
    return f"{len(given['services'])} service with {flags} flags"


def services(repository: Repository) -> Iterator[str]:
    everything = read(repository.compose_file)
    published: list[str] = []
    mounted = 0
    for name, service in everything["services"].items():
        if not re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?", service.get("image", "")) and "build" not in service:
            yield f"{name}: image {service.get('image')} is not pinned to a release"
        for wanted in ("healthcheck", "restart", "cap_drop", "security_opt", "ports"):
            if not service.get(wanted):
                yield f"{name}: has no {wanted}"
        for host, outside, inside in ports(service):
            published.append(outside)
            if host != "127.0.0.1":
                yield f"{name}: port {outside} is open to {host or 'everybody'}, not to 127.0.0.1 alone"
            test = " ".join(service.get("healthcheck", {}).get("test", []))
            if (asked := re.search(r"http://([\w.]+):(\d+)", test)) and asked.groups() != ("127.0.0.1", inside):
                yield f"{name}: the health check asks {asked[0]}, the service listens on {inside}"
        for source, target, options in binds(service):
            mounted += 1
            # A configuration of one's own.
            if source != "./config" and not repository.beside(source).exists():
                yield f"{name}: {source} is mounted and does not exist"
            if "ro" not in options.split(","):
                yield f"{name}: {source} is mounted to be written"
            if not target.startswith("/"):
                yield f"{name}: {target} is no absolute path"
        for volume in named(service):
            if volume not in everything["volumes"]:
                yield f"{name}: the volume {volume} is not declared"
        build = service.get("build")
        if build and not repository.beside(build).is_dir():
            yield f"{name}: {build}, which is built, is no folder"
        if build and not (repository.beside(build) / "Dockerfile").exists():
            yield f"{name}: {build} has no Dockerfile"
    for volume in everything["volumes"]:
        if not any(volume in named(service) for service in everything["services"].values()):
            yield f"the volume {volume} is not used"
    for port in {port for port in published if published.count(port) > 1}:
        yield f"port {port} is published twice"
    return f"{len(published)} ports on 127.0.0.1, {mounted} mounts that are there and read-only, images pinned, health checks"


def commands(repository: Repository) -> Iterator[str]:
    """Flags by the help of Debian's releases, which are older than the images; the exporter's commands by its source."""
    tried = 0
    for name, program in (("prometheus", "prometheus"), ("alertmanager", "prometheus-alertmanager")):
        _, text = told(program, "--help")
        for argument in repository.services[name]["command"]:
            tried += 1
            if not re.search(rf"{re.escape(argument.split('=')[0])}(?![\w.-])", text):
                yield f"{name}: {program} does not know {argument.split('=')[0]}"
    exporter = repository.services["exporter"]
    source = (repository.root / "src/commands/cli.rs").read_text("utf-8")
    listed = source.split("pub enum Command {")[1].split("\n}")[0]
    commands = [name.lower() for name in re.findall(r"^    (\w+)[,({ ]", listed, re.M)]
    for command in (exporter["command"][0], exporter["healthcheck"]["test"][2]):
        tried += 1
        if command not in commands:
            yield f"exporter: {command} is none of its commands {', '.join(commands)}"
    return f"{tried} flags and commands that their programs know"
