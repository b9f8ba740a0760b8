"""Where values of a Python file come from, and where they end up.

An abstract interpreter over the syntax tree. It runs a module's statements, and every function
with what its callers give it, on values that know four things: the constant they are (if one), how
far a stranger controls them, which weaknesses they were cleaned against, and what is known of their
parts. Calls into the same repository are followed; loops run twice; branches whose condition is a
constant are not taken. Nothing is ever executed: constants are folded by a short list of pure
operations on bounded values.

The work per file is bounded by a budget of steps; a file that uses it up keeps what was found.
"""
