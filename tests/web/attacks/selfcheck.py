"""One correct request each way, before any attack: if our own framing is wrong, or the server is not the one that
the attacks are written for, every attack would look borne. Ends the program with status 2 then."""

import sys
import time

from connections import Conn
from registry import h2_wide
from shapes import SMUGGLING
from wire import h2_get


def fail(text):
    print("SELF-CHECK FAILED:", text, file=sys.stderr)
    sys.exit(2)


def self_check(addresses, engine, scrapers):
    for port, scraper in scrapers.items():
        try:
            page = scraper.once()
        except Exception as error:
            fail(f"a plain scrape over {port} HTTP/1.1 failed: {error!r}")
        print(f"self-check: {port} HTTP/1.1: 200, {len(page)} bytes of metrics")
    front = Conn(addresses["plain"], [SMUGGLING["control: two requests"][1].encode()])
    # Several, since who speaks first after the handshake is a race that must not matter.
    seconds = [h2_wide(addresses["tls"], h2_get(1)) for _ in range(10)]
    engine.open([front, *seconds])
    until = time.monotonic() + 5
    while time.monotonic() < until and not (
            len(front.seen.order) == 2 and all(conn.ended or conn.seen.done for conn in seconds)):
        time.sleep(0.02)
    bad = [conn for conn in seconds if conn.seen.statuses != {200: 1} or not conn.seen.body or not conn.seen.done]
    conn = (bad or seconds)[0]
    h2_offered = not (conn.how or "").startswith("no ALPN") and "NO_APPLICATION_PROTOCOL" not in conn.cause
    result = f"statuses {dict(conn.seen.statuses)}, {conn.seen.body} bytes, resets {dict(conn.seen.resets)}, " \
             f"GOAWAY {conn.seen.goaway}, {conn.how or 'open'} {conn.cause}, " \
             f"streams announced {conn.seen.max_streams}"
    engine.drop([front, *seconds])
    order = front.seen.order
    if len(order) != 2 or order[0] == 200 or order[1] != 200:
        fail(f"POST /smuggle-front with GET /metrics behind it gave {order} instead of [not 200, 200]: "
             "the smuggling rows could not tell who was answered")
    print(f"self-check: pipelined: {order}")
    if not h2_offered:
        print("self-check: ALPN h2 is NOT OFFERED: all h2 rows will fail")
    elif bad:
        fail("h2 GET /metrics: " + result)
    else:
        print("self-check: TLS h2:", result)
