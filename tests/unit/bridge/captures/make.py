"""Writes what the SocketHandler of the interpreter that runs this sends: `pythonX make.py DIRECTORY`.

Runs under Python 2.7 and every later one. A file holds the bytes of one connection, length prefixes included. The
record numbers are those of `RECORDS` in test_captures.py.
"""

import logging
import logging.handlers
import os
import pickle  # noqa: TID251 -- makes what is read elsewhere without it
import struct
import sys

OLD = sys.version_info[0] == 2


class Capture(logging.handlers.SocketHandler):
    """Keeps what it would send. ``protocol`` None: as the standard library pickles it."""

    def __init__(self, protocol):
        logging.handlers.SocketHandler.__init__(self, "localhost", 1)
        self.protocol = protocol
        self.taken = []

    def emit(self, record):
        """Keep the bytes."""
        data = self.makePickle(record)
        if self.protocol is not None:
            said = dict(record.__dict__)
            said["msg"], said["args"], said["exc_info"] = record.getMessage(), None, None
            said.pop("message", None)
            data = pickle.dumps(said, self.protocol)
            data = struct.pack(">L", len(data)) + data
        self.taken.append(data)


class Something(object):  # noqa: UP004 -- Python 2
    """What an application may put into a record without thinking of it."""

    def __init__(self):
        self.secret = "not for sale"


def speak(log):
    """One record of each kind."""
    log.info("order %d of %s", 7, "alice")
    log.warning(b"gr\xc3\xbc\xc3\x9fe".decode("utf-8"))
    log.log(25, {"a": [1, 2.5, None]})
    try:
        raise ValueError("no such\norder")  # noqa: TRY301 -- there is no trace without
    except ValueError:
        log.exception("failed")
    log.error("extras", extra={
        "PRODUKT_ID": "shop", "SYSTEM_ID": "web", "SUB_SYSTEM_ID": "cart", "SUB_SUB_SYSTEM_ID": "tax",
        "USER_SPEC_1": "u1", "USER_SPEC_2": "u2", "package_version": "1.2.3",
        "request": "r-1", "count": 2 ** 70, "ok": True, "none": None, "share": 0.5, "raw": b"\x00\xff",
        "items": [1, (2, 3)], "nested": {"k": {4}},
    })  # fmt: skip
    log.error("an object", extra={"thing": Something()})
    log.critical("x" * 6000)
    log.debug("")


def main(directory):
    """Write one file as the handler sends, and one for each protocol."""
    version = "%d%d" % sys.version_info[:2]  # noqa: UP031 -- Python 2
    for protocol in [None] + list(range(pickle.HIGHEST_PROTOCOL + 1)):  # noqa: RUF005 -- Python 2
        handler = Capture(protocol)
        log = logging.getLogger("shop.orders")
        log.handlers[:] = [handler]
        log.setLevel(1)
        log.propagate = False
        speak(log)
        name = "py" + version + ("" if protocol is None else "-p" + str(protocol)) + ".bin"
        with open(os.path.join(directory, name), "wb") as file:
            file.write(b"".join(handler.taken))


if __name__ == "__main__":
    main(sys.argv[1])
