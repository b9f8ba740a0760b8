"""Following data through one file, whatever its language.

A reader per language (`read_java`, `read_javascript`, `read_go`) turns the syntax tree into the few
shapes of `program`; `machine` runs those on abstract values; tables (`*.toml`) name where data
comes from, what makes it harmless and where it does harm.
"""
