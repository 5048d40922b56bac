"""Where a flavour of server answers otherwise than the table says, and why. The table itself has what the real toolkit
does (its HEAD). A row allows exactly one answer, so that a change of ours is noticed."""

import fnmatch

import context

REFUSED = "refused"              # TLS handshake refused, or the connection closed without an answer
NO_START = "start refused"       # the server ended by itself with a status other than 0
BROKEN = (REFUSED, "500")        # what a broken file may give: monitoring sees either

OLD = "toolkit 0.8.2 (Debian's prometheus 2.42) does not know this field"
NO_FILE = "a handshake needs no file: the last good settings serve it, and the answer says what is wrong"
AT_ONCE = "TLS that is added counts at once"

# (flavour, glob over "group/case", the answer or None to skip, reason). The first match counts.
DIFFERS = [
    ("go", "inline*/*", None, OLD),
    ("go", "sans*/*", None, OLD),
    ("go", "rate_*/*", None, OLD),
    ("go", "prefer_client/*", "ECDHE-RSA-AES128-GCM-SHA256",
     "Go since 1.17 ignores prefer_server_cipher_suites and orders by its own list: AES-128 first"),
    ("go", "prefer_server/*", "ECDHE-RSA-AES128-GCM-SHA256",
     "Go since 1.17 ignores prefer_server_cipher_suites and the order of cipher_suites"),
    ("rustls", "old_versions/TLS 1.[01]*", REFUSED, "rustls has neither TLS 1.0 nor 1.1"),
    ("rustls", "old_only/*", NO_START, "rustls has neither TLS 1.0 nor 1.1: nothing is left to offer"),
    ("rustls", "cbc/*", NO_START, "rustls has neither CBC suites nor RSA key exchange: nothing is left to offer"),
    ("rustls", "curves_521/*", NO_START, "rustls has no key exchange over P-521: nothing is left to offer"),
    ("rustls", "min_over_max/*", NO_START, "an empty range: Go starts and refuses every handshake"),
    ("rustls", "ca_junk/*", NO_START, "no certificate in client_ca_file: Go starts and trusts nobody"),
    ("rustls", "break_tls/new connection*", "500", NO_FILE),
    ("rustls", "broken_pair/*broken", "500", NO_FILE),
    ("rustls", "tls_removed/TLS after", "500", NO_FILE),
    ("rustls", "change_users/all removed", "500", "a file that is emptied is taken for a slip, and lets nobody in"),
    ("rustls", "rate_limit/request 6 has no extra headers", "429 deny", "every answer has the configured headers"),
    # Only the server's own speed decides whether this connection is gone already when it is used again; two handshakes
    # and a poll lie between, so it is.
    ("rustls", "new_certificate/the connection from before goes on", REFUSED,
     "a connection under other TLS settings ends when it is idle, since its client might not be let in any more"),
    ("rustls", "change_versions/http2: false does not count before a restart", "1.1 200", "it counts at once"),
    ("rustls", "tls_added/the file is read", "400 absent", AT_ONCE),
    ("rustls", "tls_added/plain after", "400", AT_ONCE),
    ("rustls", "tls_added/no TLS after", "200", AT_ONCE),
]

needed = {}       # glob -> True once the row allowed what the table does not, or less than the table does


def as_tuple(answers):
    return answers if isinstance(answers, tuple) else (answers,)


def expected(name, want):
    """What this flavour may answer (None: not asked), and why if that differs, and the glob of the row."""
    for flavour, glob, other, reason in DIFFERS:
        if flavour == context.ARGS.flavour and fnmatch.fnmatchcase(name, glob):
            needed.setdefault(glob, other is None)
            return None if other is None else as_tuple(other), reason, glob
    return as_tuple(want), None, None
