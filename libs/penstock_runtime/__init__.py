"""Runtime of Penstock: ports and the machinery that drives the pure core."""
