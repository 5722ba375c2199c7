"""Find: the answer to a Query, over hot journal rows and parts together."""
