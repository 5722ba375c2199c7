"""What footpath past one machine costs a month, from list prices and a load: `python -m bench.cost`.

Every number that is not arithmetic is an input below, with its source; docs/SCALING.md shows what this prints.
Leaves out: a load balancer, traffic out of AWS, support, discounts, and people.
"""

import math
from typing import NamedTuple

SECONDS, DAYS, HOURS = 86_400, 30, 730

# List prices in USD, us-east-1, as published in November 2025: aws.amazon.com/{kinesis,s3,athena,glue,ec2}/pricing.
# Look yours up and put them here: they change, and differ by region.
SHARD_HOUR = 0.015
RETENTION_HOUR = 0.02  # of a shard, for records of up to seven days instead of one
PUT_UNITS = 0.014 / 1e6  # a record of up to 25 KB
S3_GB_MONTH = 0.023
S3_PUT = 0.005 / 1e3
ATHENA_BYTE = 5 / 1e12
ATHENA_LEAST = 10e6  # bytes that every query is billed as at least
GLUE_DPU_HOUR = 0.44
SERVER_HOUR = 0.0725  # c7g.large: 2 cores, 4 GiB

# The load; sizes are those that `python -m bench.size` prints of `footpath demo --actions 300000 --seed 8`.
BATCH = 5  # actions in a batch
RECORD = 480  # bytes of a record
JSON = 156  # bytes of an action
STORED = 22  # bytes of an action in sorted Parquet
PEAK = 3  # times the average
KEPT_DAYS = 365
SHARD_RECORDS, SHARD_BYTES = 1_000, 1e6  # a second, as Kinesis has it
SHARD_USE = 0.8  # of them at the peak
CORE_REQUESTS = 5_000  # a second, of one batch: what a collector is to reach at least
CORE_SINK = 200_000  # actions a second
INTERVAL, CHUNK = 60, 64e6  # seconds, and bytes of JSON, after which a sink commits
COMMIT_PUTS = 6  # files of two days, manifest, list, metadata
COMPACTED = 2  # times that an action is written again
DPU_GB_HOUR = 30  # an assumption: compaction has no published rate
READS = 10_000  # paths of one user over a month, a day
READ_FILE = 1.3e6  # bytes that a path reads of a file


class Month(NamedTuple):
    """A month of so many actions a day: what it takes, and what of it costs what, in USD."""

    shards: int
    servers: int
    sinks: int
    stored_gb: float
    stream: float
    machines: float
    storage: float
    compaction: float
    reads: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.stream + self.machines + self.storage + self.compaction + self.reads


def month(actions: float) -> Month:
    """What so many actions a day take and cost."""
    batches = actions / BATCH
    peak = batches / SECONDS * PEAK
    shards = max(2, math.ceil(max(peak / SHARD_RECORDS, peak * RECORD / SHARD_BYTES) / SHARD_USE))
    servers = max(2, math.ceil(peak / CORE_REQUESTS / 2))
    sinks = max(1, math.ceil(peak * BATCH / CORE_SINK / 2))
    stored = actions * KEPT_DAYS * STORED / 1e9
    commits = max(sinks * SECONDS / INTERVAL, actions * JSON / CHUNK) * DAYS
    compacted = actions * DAYS * STORED * COMPACTED / 1e9
    read = max(ATHENA_LEAST, 30 * READ_FILE)
    return Month(
        shards,
        servers,
        sinks,
        stored,
        stream=shards * (SHARD_HOUR + RETENTION_HOUR) * HOURS + batches * DAYS * PUT_UNITS,
        machines=(servers + sinks) * SERVER_HOUR * HOURS,
        storage=stored * S3_GB_MONTH + commits * COMMIT_PUTS * S3_PUT,
        compaction=compacted / DPU_GB_HOUR * GLUE_DPU_HOUR,
        reads=READS * DAYS * read * ATHENA_BYTE,
    )


def table() -> str:
    """The costs of three loads, as docs/SCALING.md shows them."""
    rows = ["| a month, USD | 1 M actions a day | 100 M | 10 B |", "|---|---:|---:|---:|"]
    months = [month(actions) for actions in (1e6, 1e8, 1e10)]
    named = {
        "shards · servers · sinks": [f"{one.shards} · {one.servers} · {one.sinks}" for one in months],
        "stored after a year": [_size(one.stored_gb) for one in months],
        "stream": [_usd(one.stream) for one in months],
        "servers and sinks": [_usd(one.machines) for one in months],
        "S3": [_usd(one.storage) for one in months],
        "compaction": [_usd(one.compaction) for one in months],
        "reads": [_usd(one.reads) for one in months],
        "**together**": [f"**{_usd(one.total)}**" for one in months],
    }
    return "\n".join([*rows, *(f"| {name} | {' | '.join(cells)} |" for name, cells in named.items())])


def _usd(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.2f}"


def _size(gb: float) -> str:
    return f"{gb / 1e3:,.0f} TB" if gb >= 1e3 else f"{gb:,.0f} GB"


if __name__ == "__main__":
    print(table())
