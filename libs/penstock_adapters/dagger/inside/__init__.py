"""The first process of a task's container: starts the agent under its limits, and watches it.

An engine's `exec` has no limits of its own, tells nothing before it is over, and gives a program
privileges that can grow again. This program stands in between. It is run by an interpreter that
is brought along, so that an image needs none, and it is root inside the container; the agent is
not: it gets a uid of its own, no capabilities, no way to new ones, and the call filter.

It speaks frames over the task's channel: one byte of kind, four of length, the payload.

    to the executor: H hello (token), O and E (stdout and stderr), X the end
    from the executor: S start (marshalled, same interpreter on both sides), T terminate, K kill,
                       B goodbye: nobody listens any more

An engine carries bytes, but does not tell that a side has closed: therefore the goodbye, after
which everything is killed. An executor that cannot say it any more has lost its session, and the
engine ends what is left. A task that may be remembered has no channel: its order is a file, and
what it says is written to another one.

Imported are the C halves of modules only: their Python halves would double the time of a start.
Nothing of Penstock is imported but this package: the interpreter brought along has no more.
"""
