"""Rival: FastAPI, pydantic models, an asyncpg pool and one binary COPY a request, which is one transaction.

Run by uvicorn with uvloop and httptools; 200 is sent after COPY returned, that is after PostgreSQL's commit (fsync and
synchronous_commit on). One index serves "a user's path", as footpath does; none on type or time. DSN comes from the
environment (BENCH_DSN).
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import asyncpg
import orjson
from fastapi import FastAPI
from pydantic import AwareDatetime, BaseModel

CREATE = """
CREATE TABLE IF NOT EXISTS actions (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL,
    session_id text NOT NULL,
    time timestamptz NOT NULL,
    type text NOT NULL,
    properties jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS actions_of_user ON actions (user_id, time);
"""
COLUMNS = ("user_id", "session_id", "time", "type", "properties")
POOL = 8  # connections; 4, 8 and 16 could not be told apart on one core


class Action(BaseModel):
    time: AwareDatetime
    type: Literal["CLICK", "VIEW", "NAVIGATE"]
    properties: dict[str, Any]


class Batch(BaseModel):
    userId: str  # noqa: N815 (the wire's name)
    sessionId: str  # noqa: N815 (the wire's name)
    actions: list[Action]


class Submitted(BaseModel):
    message: Literal["submitted"] = "submitted"
    accepted: int


async def keep(_connection: object) -> None:
    """Instead of asyncpg's clean-up query after each use: a COPY leaves nothing to clean up."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["BENCH_DSN"], min_size=POOL, max_size=POOL, reset=keep) as pool:
        await pool.execute(CREATE)
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/api/submitlogs")
async def submit(batches: list[Batch]) -> Submitted:
    records = [
        (batch.userId, batch.sessionId, action.time, action.type, orjson.dumps(action.properties).decode())
        for batch in batches
        for action in batch.actions
    ]
    async with app.state.pool.acquire() as connection:
        await connection.copy_records_to_table("actions", records=records, columns=COLUMNS)
    return Submitted(accepted=len(records))
