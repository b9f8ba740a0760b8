"""The one-machine stack: real nats-server and PostgreSQL from wheels, supervised with the services.

`stack.EmbeddedStack` is what the CLI opens; the test kit uses `nats_server` and
`postgres_server` alone. Everything lives in one `home.StateFolder`.
"""
