"""Rival: Flask, SQLAlchemy and SQLite, a thread a request.

Run by gunicorn (gthread, one process); one bulk INSERT and one commit a request, WAL and synchronous=FULL, 200 after
the commit. A lock lets one thread at a time into the write: without it they wait inside SQLite's busy handler, which
sleeps. One index serves "a user's path", as footpath does. The file's path comes from the environment (BENCH_SQLITE).
"""

import os
import threading
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, jsonify, request
from sqlalchemy import JSON, DateTime, Index, String, create_engine, event, insert
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

TYPES = frozenset({"CLICK", "VIEW", "NAVIGATE"})

app = Flask(__name__)
engine = create_engine(f"sqlite:///{os.environ['BENCH_SQLITE']}", pool_size=32, connect_args={"timeout": 30})
writing = threading.Lock()


class Base(DeclarativeBase):
    pass


class Action(Base):
    __tablename__ = "actions"
    __table_args__ = (Index("actions_of_user", "user_id", "time"),)

    seq: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(String)
    session_id: Mapped[str] = mapped_column(String)
    time: Mapped[datetime] = mapped_column(DateTime)
    type: Mapped[str] = mapped_column(String)
    properties: Mapped[dict[str, Any]] = mapped_column(JSON)


@event.listens_for(engine, "connect")
def durable(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


Base.metadata.create_all(engine)


def rows(batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The request's actions as rows; raises on what is not an action."""
    made = []
    for batch in batches:
        user, session = batch["userId"], batch["sessionId"]
        for action in batch["actions"]:
            time = datetime.fromisoformat(action["time"])
            if action["type"] not in TYPES or time.tzinfo is None or not isinstance(action["properties"], dict):
                raise ValueError(f"not an action: {action!r}")
            made.append({
                "user_id": user,
                "session_id": session,
                "time": time.astimezone(UTC).replace(tzinfo=None),
                "type": action["type"],
                "properties": action["properties"],
            })  # fmt: skip
    return made


@app.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok")


@app.post("/api/submitlogs")
def submit() -> tuple[Response, int]:
    try:
        made = rows(request.get_json())
    except (KeyError, TypeError, ValueError) as error:
        return jsonify(message=str(error)), 400
    with writing, engine.begin() as connection:
        connection.execute(insert(Action), made)
    return jsonify(message="submitted", accepted=len(made)), 200
