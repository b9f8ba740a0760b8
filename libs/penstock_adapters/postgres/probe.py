"""Looking whether a role may log in, before anything is built on it."""

from penstock_adapters.postgres.datastore import Datastore
from penstock_adapters.postgres.faults import as_faults


def probe(url: str) -> None:
    """Log in and ask one question; blocking.

    Raises:
        UnsupportedServer: the server is older than PostgreSQL 17.
        TransientFault: it does not answer, or refuses the login; says which.
        StoreRefused: the login works, the question does not.
    """
    with (
        as_faults(),
        Datastore(url, connections=1, read_only=True, label="penstock-probe") as datastore,
        datastore.get_connection() as connection,
    ):
        connection.execute("SELECT 1")
