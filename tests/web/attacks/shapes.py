"""Bytes in which two readers can disagree about where a request ends: a proxy before the server would let the second
request through unseen. Each has a name and what to demand of the answers."""

# Kinds of verdict on a smuggling shape.
REJECT = "must be refused"                 # 400 or a close; anything else means that it was believed
ONE = "the second must not be answered"    # which of two readings is taken is free, a second answer is not
CLEAR = "refused, or both answered"        # there is only one reading; a server may be stricter

FRONT = "POST /smuggle-front HTTP/1.1\r\nHost: a\r\n"
BEHIND = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"  # its 200 is what must not appear: the front never gives 200
SIZE = len(BEHIND)
CHUNKED_BEHIND = f"{SIZE:x}\r\n{BEHIND}\r\n0\r\n\r\n"
LENGTH = f"Content-Length: {SIZE + 5}\r\n"  # covers the 5 bytes of an empty chunked body, and the second
NO_CHUNKS = "\r\n0\r\n\r\n"  # the end of the head, and an empty chunked body
SMUGGLING = {
    "control: two requests": (CLEAR, FRONT + "Content-Length: 0\r\n\r\n" + BEHIND),
    "CL covers, TE ends": (ONE, FRONT + LENGTH + "Transfer-Encoding: chunked\r\n" + NO_CHUNKS + BEHIND),
    "TE before CL": (ONE, FRONT + "Transfer-Encoding: chunked\r\n" + LENGTH + NO_CHUNKS + BEHIND),
    "TE covers, CL ends": (ONE, FRONT + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED_BEHIND),
    "CL 0, CL covers": (REJECT, FRONT + f"Content-Length: 0\r\nContent-Length: {SIZE}\r\n\r\n" + BEHIND),
    "CL covers, CL 0": (REJECT, FRONT + f"Content-Length: {SIZE}\r\nContent-Length: 0\r\n\r\n" + BEHIND),
    "TE chunked, identity": (ONE, FRONT + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE identity and CL": (ONE, FRONT + "Transfer-Encoding: identity\r\n" + LENGTH + NO_CHUNKS + BEHIND),
    "TE xchunked": (ONE, FRONT + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE twice": (ONE, FRONT + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"
                 + LENGTH + NO_CHUNKS + BEHIND),
    "TE: two spaces": (CLEAR, FRONT + "Transfer-Encoding:  chunked\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE: vertical tab": (ONE, FRONT + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + BEHIND),
    "TE in HTTP/1.0": (ONE, FRONT.replace("1.1", "1.0") + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"
                       + NO_CHUNKS + BEHIND),
    "obs-fold before TE": (ONE, FRONT + "X: y\r\n Transfer-Encoding: chunked\r\n" + LENGTH + NO_CHUNKS + BEHIND),
    "obs-fold in TE": (ONE, FRONT + "Transfer-Encoding:\r\n chunked\r\n" + LENGTH + NO_CHUNKS + BEHIND),
    "obs-fold, harmless": (CLEAR, FRONT + "X: y\r\n z\r\nContent-Length: 0\r\n\r\n" + BEHIND),
    "space before first header": (ONE, "POST /smuggle-front HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n"
                                  + LENGTH + NO_CHUNKS + BEHIND),
    "bare LF hides CL": (ONE, FRONT + f"X: y\nContent-Length: {SIZE}\r\n\r\n" + BEHIND),
    "bare LF in chunks": (ONE, FRONT + "Transfer-Encoding: chunked\r\n\r\n0\n\n" + BEHIND),
    "bare LF in extension": (ONE, FRONT + "Transfer-Encoding: chunked\r\n\r\n"
                             f"2;\nxx\r\n{SIZE:x}\r\n0\r\n\r\n" + BEHIND),
    "bare LF everywhere": (CLEAR, (FRONT + "Content-Length: 0\r\n\r\n" + BEHIND).replace("\r", "")),
    "bare CR hides CL": (ONE, FRONT + f"X: y\rContent-Length: {SIZE}\r\n\r\n" + BEHIND),
    "space before colon": (REJECT, FRONT + f"Content-Length : {SIZE}\r\n\r\n" + BEHIND),
    "NUL in value": (REJECT, FRONT + "X: a\0b\r\nContent-Length: 0\r\n\r\n" + BEHIND),
    "NUL in name": (REJECT, FRONT + f"Content-Length\0: {SIZE}\r\n\r\n" + BEHIND),
    "absolute-form, other host": (CLEAR, "GET http://other.example/smuggle-front HTTP/1.1\r\nHost: a\r\n\r\n" + BEHIND),
    "CL +n": (REJECT, FRONT + f"Content-Length: +{SIZE}\r\n\r\n" + BEHIND),
    "CL 0x": (REJECT, FRONT + f"Content-Length: 0x{SIZE:x}\r\n\r\n" + BEHIND),
    "CL 5 5": (REJECT, FRONT + "Content-Length: 5 5\r\n\r\n" + BEHIND),
    "CL -1": (REJECT, FRONT + "Content-Length: -1\r\n\r\n" + BEHIND),
    "CL 2^64": (REJECT, FRONT + "Content-Length: 18446744073709551616\r\n\r\n" + BEHIND),
    "CL empty": (REJECT, FRONT + "Content-Length:\r\n\r\n" + BEHIND),
    "chunk size 2^64": (ONE, FRONT + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + BEHIND),
    "chunk size +0": (ONE, FRONT + "Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n" + BEHIND),
    "chunk size 0x0": (ONE, FRONT + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + BEHIND),
}
