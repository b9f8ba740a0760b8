"""Entry point of `penstock serve approval`."""

import sys

from penstock_approval.live import main

if __name__ == "__main__":
    sys.exit(main())
