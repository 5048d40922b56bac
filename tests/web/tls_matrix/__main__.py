"""Black-box test of an HTTP server's --web.config.file (exporter-toolkit format) with real clients.

    python3 tests/web/tls_matrix --server '<command with {config} and {port}>' [--path /metrics] [--only GLOB]
                                 [--flavour rustls|go]

In the command, {config} is the web configuration file, {port} the port to listen on at 127.0.0.1 and
{dir} an empty folder of that server. E.g. the real toolkit:

    python3 tests/web/tls_matrix --flavour go --server 'prometheus --web.config.file={config}
        --web.listen-address=127.0.0.1:{port} --config.file=prometheus.yml --storage.tsdb.path={dir}/data'

Clients: curl and openssl (and a Python keep-alive connection where one connection must outlive a change).
A group is one configuration and one server; a case is one probe with a hand-written expectation.
The expectations are what the toolkit does (its HEAD); DIFFERS lists, with the reason, where a flavour
may or must answer otherwise. A group also fails if its server's log tells of a panic.
Prints a line per case; exit 1 on a failure."""

import argparse
import fnmatch
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import context
from certificates import make_certificates
from differs import needed
from run import run_group
from server import Server
from table import GROUPS, table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--path", default="/metrics")
    parser.add_argument("--only", default="*", help="glob over the groups' names")
    parser.add_argument("--flavour", choices=("rustls", "go"), default="rustls")
    parser.add_argument("--jobs", type=int, default=4, help="servers at a time")
    parser.add_argument("--verbose", action="store_true",
                        help="also why a start was refused, and entries of DIFFERS that nothing needed")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    context.ARGS = parser.parse_args()
    began = time.monotonic()
    top = os.path.realpath(tempfile.mkdtemp(prefix="tls_matrix."))
    context.PKI = f"{top}/pki"
    os.mkdir(context.PKI)
    count = {"ok": 0, "FAIL": 0, "skip": 0}
    try:
        make_certificates()
        table()
        names = [n for n in GROUPS if fnmatch.fnmatchcase(n, context.ARGS.only)]
        if not names:
            sys.exit(f"no group is named {context.ARGS.only}: {' '.join(GROUPS)}")
        # else every configuration that must not start would pass with a wrong command
        first = Server("")
        first.stop()
        if not first.started:
            sys.exit(f"the server does not start even with an empty file:\n{first.tail()}")
        with ThreadPoolExecutor(context.ARGS.jobs) as pool:
            for lines in pool.map(run_group, names):
                for state, case, text in lines:
                    if state == "log":
                        print("     | " + text.strip().replace("\n", "\n     | "))
                    else:
                        count[state] += 1
                        print(f"{state:4} {case}: {text}", flush=True)
    finally:
        if context.ARGS.keep:
            print(f"kept: {top}")
        else:
            shutil.rmtree(top, ignore_errors=True)
    for glob in (g for g, was in needed.items() if context.ARGS.verbose and not was):
        print(f"note: all of {glob} was as the table expects of every flavour: is its entry in DIFFERS still needed?")
    print(f"{count['ok']} passed, {count['FAIL']} failed, {count['skip']} skipped")
    print(f"flavour {context.ARGS.flavour}, {time.monotonic() - began:.1f} s", file=sys.stderr)
    sys.exit(1 if count["FAIL"] else 0)


if __name__ == "__main__":
    main()
