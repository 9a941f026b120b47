"""The shipped SQL grammar against sqlite3: what it prepares is accepted, what it calls a syntax error is not."""

from __future__ import annotations

import random
import sqlite3

import pytest
import shipped
import sql_corpus


def prepared(count: int, seed: int) -> list[str]:
    database = sql_corpus.database()
    writer = sql_corpus.Writer(random.Random(seed))
    found: list[str] = []
    while len(found) < count:
        statement = writer.statement()
        if sql_corpus.is_prepared(database, statement):
            found.append(statement)
    return found


def is_syntax_error(database: sqlite3.Connection, statement: str) -> bool:
    try:
        database.execute("EXPLAIN " + statement, {})
    except sqlite3.Error as error:
        return any(word in str(error) for word in ("syntax error", "unrecognized token", "incomplete input"))
    return False


def test_no_conflicts() -> None:
    shipped.assert_lalr("sql")


def test_statements_that_sqlite_prepares() -> None:
    assert all(shipped.accepts("sql", statement) for statement in prepared(300, 1))


@pytest.mark.slow
def test_a_corpus_of_statements() -> None:
    statements = prepared(1_500, 0)
    accepted = sum(shipped.accepts("sql", statement) for statement in statements)
    assert len(set(statements)) >= 1_000
    assert accepted / len(statements) >= 0.99


def test_syntax_errors_are_refused() -> None:
    """ESCAPE without LIKE, and aggregates' ORDER BY, are what the grammar takes beyond an sqlite3 of any age."""
    database, rng = sql_corpus.database(), random.Random(2)
    wrong = refused = 0
    for statement in prepared(60, 3):
        for mutated in shipped.mutations(rng, statement.rstrip("; "), "()',.=*+1a; ", 10):
            if is_syntax_error(database, mutated):
                wrong += 1
                refused += not shipped.accepts("sql", mutated)
    assert wrong > 100
    assert refused / wrong >= 0.98, (refused, wrong)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT name FROM t WHERE",
        "SELECT * FORM t",
        "SELECT a b c FROM t",
        "SELECT 12ab",
        "selecta FROM t",
        "SELECT a FROM t WHERE a BETWEEN 1",
        "SELECT a FROM t WHERE stuid NOT",
        "SELECT 'a",
        "INSERT t VALUES (1)",
        "UPDATE t a = 1",
    ],
)
def test_refused(text: str) -> None:
    assert not shipped.accepts("sql", text)
