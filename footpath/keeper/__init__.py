"""The keeper: the process that turns the journal into parts and small parts into larger ones.

It is a process of its own because sorting and writing Parquet must not take the server's GIL. It alone writes parts.
"""
