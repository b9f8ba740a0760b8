"""Entry point of `penstock serve webhook-gateway`."""

import sys

from penstock_webhook_gateway.live import main

if __name__ == "__main__":
    sys.exit(main())
