"""The store: parts (immutable Parquet files, sorted) and the catalog that says which of them are live."""
