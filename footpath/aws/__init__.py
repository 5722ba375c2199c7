"""Past one machine: a Kinesis stream for the journal, an Iceberg table on S3 for the store, Athena or Trino to find.

The same HTTP face and the same model; only the fittings differ. Nothing outside of this room imports boto3, pyiceberg
or pyarrow, which come with `pip install 'footpath[aws]'`.
"""
