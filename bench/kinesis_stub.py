"""A Kinesis that answers at once: PutRecords is said yes to and counted, nothing is kept.

What footpath's Kinesis journal can do is measured against it: all that remains is footpath's own work. It looks at a
request as little as it can (how many records are in it), since it shares its core with the load. GET / tells the count.
"""

import asyncio
import sys

RECORD = b'"PartitionKey"'
DESCRIBED = (
    b'{"StreamDescriptionSummary":{"StreamName":"bench","StreamARN":"arn:aws:kinesis:x:1:stream/bench","StreamStatus":'
    b'"ACTIVE","RetentionPeriodHours":24,"StreamCreationTimestamp":1,"EnhancedMonitoring":[],"OpenShardCount":1}}'
)
TAKEN = (
    b'{"SequenceNumber":"49680549401046734795871689098416517861233106947955228674","ShardId":"shardId-000000000000"}'
)


class Connection(asyncio.Protocol):
    """One connection: requests come one after the other, each is answered when its body is whole."""

    records = 0  # of all connections

    def __init__(self) -> None:
        self.held = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.held[:end]).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0].strip()
            whole = end + 4 + int(length or 0)
            if len(self.held) < whole:
                if b"expect: 100-continue" in head and len(self.held) == end + 4:
                    self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            self.answer(head, self.held.count(RECORD, end, whole))
            del self.held[:whole]

    def answer(self, head: bytes, records: int) -> None:
        if head.startswith(b"get "):
            body = b"%d" % Connection.records
        elif b"describestreamsummary" in head:
            body = DESCRIBED
        else:
            Connection.records += records
            body = b'{"FailedRecordCount":0,"Records":[%s]}' % b",".join([TAKEN] * records)
        self.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )

    def write(self, data: bytes) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.write(data)


async def main() -> None:
    """Listen on the port that the one argument names, until killed."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
