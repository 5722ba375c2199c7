"""Addresses of streams and tables: what they say, and what is wrong with those that say nothing."""

import pytest

from footpath.aws.address import StreamAddress, TableAddress, stream_address, table_address
from footpath.errors import BadSetting


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("kinesis://actions", StreamAddress("actions")),
        (
            "kinesis://my.stream-1?region=eu-central-1&endpoint=http://127.0.0.1:4568",
            StreamAddress("my.stream-1", "eu-central-1", "http://127.0.0.1:4568"),
        ),
    ],
)
def test_streams(text: str, meant: StreamAddress) -> None:
    """A stream's address is read, and written as it was."""
    assert stream_address(text) == meant
    assert str(meant) == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("iceberg://glue/footpath/actions", TableAddress("glue", "footpath", "actions")),
        ("iceberg://lake/a/b", TableAddress("lake", "a", "b")),
        (
            "iceberg://glue/a/b?region=r&endpoint=http://g&s3.endpoint=http://s&warehouse=s3://bucket/prefix",
            TableAddress("glue", "a", "b", "r", "http://g", "http://s", "s3://bucket/prefix"),
        ),
    ],
)
def test_tables(text: str, meant: TableAddress) -> None:
    """A table's address is read, and written as it was."""
    assert table_address(text) == meant
    assert str(meant) == text


@pytest.mark.parametrize(
    "text",
    ["", "actions", "s3://actions", "kinesis://", "kinesis://a/b", "kinesis://a?regoin=x", "kinesis://a?region=",
     "kinesis://a b", "kinesis://a#b", f"kinesis://{'a' * 129}"],
)  # fmt: skip
def test_what_is_no_stream(text: str) -> None:
    """A wrong address is refused with one sentence that shows how it is written."""
    with pytest.raises(BadSetting, match=r"kinesis://|known are"):
        stream_address(text)


@pytest.mark.parametrize(
    "text",
    ["", "iceberg://glue", "iceberg://glue/a", "iceberg://glue/a/b/c", "iceberg://glue/A/b", "iceberg:///a/b",
     "iceberg://lake/a/b?region=x", "iceberg://glue/a/b?table=c"],
)  # fmt: skip
def test_what_is_no_table(text: str) -> None:
    """A wrong address is refused with one sentence that shows how it is written."""
    with pytest.raises(BadSetting, match=r"iceberg://|known are"):
        table_address(text)


def test_addresses_hold_no_credentials() -> None:
    """An address with a user in it is refused without its secret being said."""
    with pytest.raises(BadSetting) as refused:
        stream_address("kinesis://AKIA:secret@stream")
    assert "secret" not in str(refused.value)
