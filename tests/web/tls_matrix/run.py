"""Runs one group: starts its server, asks what the table says, and looks whether the server bore it.
Nothing is printed here, since groups run side by side."""

import context
from differs import NO_START, as_tuple, expected, needed
from server import OWN, OwnFiles, Server
from table import GROUPS


def judge(name, probe, want):
    """Asks once; returns the line."""
    allowed, reason, glob = expected(name, want)
    if allowed is None:
        return "skip", name, reason
    try:
        got = probe()
    except Exception as e:      # one case must not end the others
        got = f"{type(e).__name__}: {e}"
    if glob and (got not in as_tuple(want) or set(allowed) < set(as_tuple(want))):
        needed[glob] = True
    text = got if reason is None else f"{got} ({reason})"
    if got not in allowed:
        text = f"expected {' or '.join(allowed)}, got {text}"
    return ("ok" if got in allowed else "FAIL"), name, text


def run_group(name):
    """Runs one server and all its cases; returns lines: (state, case, text)."""
    config, cases = GROUPS[name]
    lines = []
    whole, reason, _ = expected(f"{name}/", "")
    if whole is None:
        return [("skip", f"{name}/*", reason)]
    server = OwnFiles(config) if config is OWN else Server(config, name.startswith("bad_"))
    try:
        refused = None
        if not server.started:
            code = server.process.poll()
            refused = NO_START if code else f"not listening after 15 s, exit status {code}"
        if callable(cases):
            if refused:
                lines.append(("FAIL", f"{name}/start", refused))
            else:
                for case, probe, want in cases(server):
                    lines.append(judge(f"{name}/{case}", probe, want))
        else:
            for case, probe, want in cases:
                lines.append(judge(f"{name}/{case}", lambda: refused or probe(server), want))
        if not refused:
            if server.process.poll() is not None:
                # a server that exits on its own after listening: right for a configuration to refuse, else a crash
                lines.append(("FAIL", f"{name}/server still runs", f"exit status {server.process.poll()}"))
            else:
                lines.append(("ok", f"{name}/server still runs", "it does"))
    finally:
        server.stop()
    # A panic ends one connection or one task, which may look like a proper refusal from outside, as may a start that
    # ended by one. Read when the server is over, so that nothing is still to be written.
    if panics := [line for line in server.whole_log().splitlines() if "panic" in line.lower()]:
        lines.append(("FAIL", f"{name}/no panic in the log", panics[0][:300]))
    if any(state == "FAIL" for state, *_ in lines):
        lines.append(("log", name, server.tail()))
    elif refused and context.ARGS.verbose:
        lines.append(("log", name, server.tail()[-300:]))
    return lines
