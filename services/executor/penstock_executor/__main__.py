"""Entry point of `penstock serve executor`."""

import sys

from penstock_executor.live import main

if __name__ == "__main__":
    sys.exit(main())
