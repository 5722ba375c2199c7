"""footpath keeps what your users did, and gives any user's path back in milliseconds.

The way of the data, in the order of the rooms:

    action      what an action, a batch and a limit are
    decode      request body -> batches                                   pure
    validate    batches -> entries for the journal, and rejects           pure
    journal/    entries -> durable; only then is the answer "submitted"
    store/      parts: sorted Parquet files, and the catalog of the live ones
    keeper/     journal -> flush -> parts -> merge -> larger parts        a process of its own
    query       parameters -> Query                                       pure
    find/       Query -> rows, over hot journal rows and parts together
    web/        the HTTP face of all that
    importing/  files -> the journal, or a running server
    aws/        the fittings past one machine: a Kinesis stream, an Iceberg table, and the sink between    an extra
    service     picks the fittings, starts and stops the processes
    cli/        the commands

Beside them: `client` tracks from Python programs and `sending/` brings that to a server, `testing` is a server for the
tests of such programs, and `demo` makes traffic up.

Below them all: `errors` (one small tree), `config` (settings), `log`, and `database` (the SQLite file).
"""
