"""The library's subscription, without the moment in which it hears nothing.

The stock one reads what is there and starts to listen at the same time: events inserted after
the reading and before LISTEN took effect notify nobody, and whoever waits for them waits until
the next insert. This one reads once more as soon as it listens.
"""

from eventsourcing.postgres import PostgresSubscription
from psycopg.sql import SQL, Identifier

LOOK_WHETHER_STOPPED_S = 0.1


class PromptSubscription(PostgresSubscription):
    """Follows a recorder's notifications, from any past one on."""

    def _listen(self) -> None:
        try:
            with self._recorder.datastore.get_connection() as connection:
                channel = Identifier(self._recorder.channel_name)
                connection.execute(SQL("LISTEN {0}").format(channel))
                self._has_been_notified.set()
                while not self._has_been_stopped and self._thread_error is None:
                    for _ in connection.notifies(timeout=LOOK_WHETHER_STOPPED_S, stop_after=1):
                        self._has_been_notified.set()
        except BaseException as error:  # noqa: BLE001 - the thread ends here; who iterates is told
            if self._thread_error is None:
                self._thread_error = error
            self.stop()
