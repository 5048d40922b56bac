"""Attacks an HTTP server on this machine from outside, and measures how it bears it.

    python3 tests/web/attacks --plain HOST:PORT --tls HOST:PORT --pid PID [--pid-tls PID]
                             [--scale 1.0] [--only NAME,NAME] [--skip NAME,NAME] [--json FILE] [--list]

While each attack is under way, a well-behaved scraper asks the attacked port for /metrics every 200 ms. An attack is
borne if no scrape failed, memory stayed below a limit, and the attacking connections ended when they had to.
Exit status: 0 all passed, 1 something failed, 2 the attack script itself does not work against this server."""

import argparse
import importlib
import resource
import sys

from registry import ATTACKS
from run import Run

# Each registers its attacks when it is imported, and they are run in that order.
KINDS = ("oversized", "smuggling", "http1", "tls", "http2")


def address(text):
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise argparse.ArgumentTypeError("only this machine is attacked")
    return "127.0.0.1" if host == "localhost" else host, int(port)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain", type=address)
    parser.add_argument("--tls", type=address)
    parser.add_argument("--pid", type=int)
    parser.add_argument("--pid-tls", type=int)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", help="parts of names, separated by commas")
    parser.add_argument("--skip", help="the same, for those to leave out")
    parser.add_argument("--json")
    parser.add_argument("--scrape-limit", type=float, default=5)
    parser.add_argument("--rss-limit", type=float, default=64)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    for kind in KINDS:
        importlib.import_module(kind)
    if options.list:
        for entry in ATTACKS:
            print(f"{entry.port:6} {'slow' if entry.slow else 'fast'} {entry.count:5}  {entry.name}")
        return 0
    if not (options.plain and options.tls and options.pid):
        parser.error("--plain, --tls and --pid are needed")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.setswitchinterval(0.0005)  # the scraper shares the interpreter with the floods
    return Run(options).all()


if __name__ == "__main__":
    sys.exit(main())
