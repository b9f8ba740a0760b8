"""How good the agents' answers are: cases with known answers, and arithmetic over them.

Nothing here knows an agent: whoever measures brings subjects (`penstock_testkit.quality.subjects`)
that turn a folder into findings. What the reports mean: docs/guides/agent-quality.md.
"""
