"""Values as literals of Trino's SQL, for the places where Trino and Athena take values: beside a statement. Pure."""


def quoted(text: str) -> str:
    """Text: a quotation mark in it is written twice, and nothing else means anything there (SQL:2016, 5.3)."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def literal(value: str | int) -> str:
    """A value."""
    return quoted(value) if isinstance(value, str) else str(int(value))
