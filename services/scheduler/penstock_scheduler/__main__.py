"""Entry point of `penstock serve scheduler`."""

import sys

from penstock_scheduler.live import main

if __name__ == "__main__":
    sys.exit(main())
