"""The fittings for more than one machine: a Kinesis stream as journal, an Iceberg table on S3 as store.

    serve -> record -> kinesis (put) -> the stream -> shards -> chunk -> columns -> commit (table, positions)

It comes with the extra: `pip install 'footpath[aws]'`. Nothing outside this room imports what that brings.
"""
