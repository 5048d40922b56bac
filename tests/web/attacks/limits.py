"""What is expected of the server: its documented limits, and how much later than them a connection may end.
The attacks are measured against these numbers and no others."""

HEAD_LIMIT = 20       # s from the connection's start until a request's head must be complete
HANDSHAKE_LIMIT = 10  # s for a TLS handshake
STALL_LIMIT = 30      # s in which a client must take something of its answer
IDLE_LIMIT = 20       # s without a request until a connection ends
BODY_LIMIT = 30       # s until a request whose body does not come must be over, whatever it was answered
GRACE = 5             # s on top of every limit: timers are coarse, and two cores are shared with the attacker
SLACK = 0.5           # s on top of that to notice the end: a drain after GOAWAY may use up GRACE to the last
MAX_HEAD = 32 * 1024  # bytes of a head; more gives 431 or a close
MAX_HEADERS = 64      # header lines; more gives 431 or a close
MAX_BODY = 1024 * 1024  # bytes of a POST's body; more gives 413 or a close
# Bytes of an endless head or body that a server may read; loopback's buffers take some MiB of it.
MAX_SWALLOWED = 16 * 1024 * 1024

SCRAPE_EVERY = 0.2    # s
# A server may keep the number of connections down (256 is usual) and let others wait. Slow attacks that run at the
# same time stay below it together: otherwise one would only test how long the next one waits for its place.
WAVE_CONNECTIONS = 240
REFUSALS = {400, 408, 411, 413, 414, 417, 421, 426, 431, 501, 505}  # what says "not a request that I take"
