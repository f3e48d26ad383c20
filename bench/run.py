"""`make bench`: measures everything that can be started here and writes docs/performance.md. `--help` lists the choices."""

import sys
from pathlib import Path

# Started as a file, so that nothing has to be installed; the modules beside it are those of the package `bench`.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.session import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
