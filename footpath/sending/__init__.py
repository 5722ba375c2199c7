"""What sends to a running server: one request (`connection`), until it is taken (`patient`), later (`spool`)."""
