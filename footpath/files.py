"""How many files, sockets among them, this process may have open. A login gives 1,024; `connections` are 10,000."""

import sys

import structlog

OTHERS = 500  # files that a server has open beside its connections: parts that are read, the database, libraries

_log = structlog.get_logger()


def make_room(connections: int) -> None:
    """Raise the limit so that there can be so many connections, as far as the system lets this process.

    At the limit nobody is told no: new connections wait unseen, and reads of parts fail. Windows has no such limit.
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHERS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        given = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (given, hard))
        if given < wanted:
            told = "this process may open too few files for its connections: raise ulimit -n, or lower connections"
            _log.warning(told, files=given, connections=connections)
