"""Wire contracts of Penstock: the bottom layer, standard library and pydantic only.

Everything that crosses a process boundary or is stored is named and typed here; the other
layers import this package and never the other way round.
"""
