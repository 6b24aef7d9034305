"""Several commands of the tool, one after the other, in one process: a dozen interpreters take longer to start than what they do.

``python -m tabard.ops.lab.several`` reads a JSON list of their words from standard input, and ends with the code of the first one that fails.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

from tabard import exits
from tabard.ops import entry


def main() -> int:
    """Run them; standard error has what the one said that failed."""
    for words in json.load(sys.stdin):
        with contextlib.redirect_stdout(io.StringIO()):
            code = entry.run(words)
        if code != exits.DONE:
            print(f"tabard {' '.join(words)} ended with {code}", file=sys.stderr)
            return code
    return exits.DONE


if __name__ == "__main__":
    sys.exit(main())
