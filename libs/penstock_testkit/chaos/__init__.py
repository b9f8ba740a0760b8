"""Chaos on real processes: load, a seeded nemesis, and what the clients saw, checked afterwards.

    python -m penstock_testkit.chaos --minutes 10 --seed 7

Nothing here is known to the product: services are started through a launcher that points them at
our proxies and gives them a clock of our own; all else is done to them from outside.
"""
