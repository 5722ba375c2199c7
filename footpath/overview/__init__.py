"""Overviews: the sessions of a user, counts over time, clicks on a page, flows between pages. Pure.

Every answer is of a bounded size, so none is streamed: sessions come in pages, flows are the most frequent ones with
the number of the others, clicks are cells of a grid, and counts of more than `asked.MAX_BUCKETS` buckets are refused.
"""
