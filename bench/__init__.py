"""What footpath costs and gives, measured: each module is one command and says what it measures and how.

ingest      the same load at footpath and at two usual ways of writing such a server      `make bench`
keys        what keys and limits cost of that                                            `make bench-keys`
sustained   ten minutes of a constant rate; acks timed from the moment they were due      `make bench-sustained`
fill        a folder of 100 million actions, made through the server's own flush and merge  `make bench-fill`
find        reading that folder back over HTTP: one user's path, an hour, a big answer    `make bench-find`

Every result is printed and kept under bench/results/ as JSON (with the machine it came from) and as a plot.
"""
