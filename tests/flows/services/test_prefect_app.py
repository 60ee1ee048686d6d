"""Prefect's database as our server uses it."""

import asyncio

import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration

from flows.services.prefect_app import take_turns_at_writing


def test_who_reads_and_then_writes_waits_and_is_not_turned_away(tmp_path, monkeypatch):
    """Prefect's own transactions fail here, with SQLITE_BUSY_SNAPSHOT, and the server answers 503."""
    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", AioSqliteConfiguration.begin_transaction)
    take_turns_at_writing()
    assert asyncio.run(_counted(tmp_path / "prefect.db", writers=8)) == 8


async def _counted(file, writers):
    database = AioSqliteConfiguration(f"sqlite+aiosqlite:///{file}")
    engine = await database.engine()
    async with engine.begin() as connection:
        await connection.execute(sa.text("create table counted as select 0 as number"))

    async def count():
        async with await database.session(engine) as session, database.begin_transaction(session):
            number = (await session.execute(sa.text("select number from counted"))).scalar()
            await asyncio.sleep(0.01)
            await session.execute(sa.text("update counted set number = :next"), {"next": number + 1})

    await asyncio.gather(*(count() for _ in range(writers)))
    async with engine.begin() as connection:
        return (await connection.execute(sa.text("select number from counted"))).scalar()
