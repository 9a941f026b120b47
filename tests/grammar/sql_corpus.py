# ruff: noqa: E501
"""Statements over a few schemas, made at random in the shapes of Spider and of SQLite's own documentation."""

from __future__ import annotations

import random
import sqlite3

SCHEMA = """
CREATE TABLE student (stuid INTEGER PRIMARY KEY, lname VARCHAR(12) NOT NULL, fname VARCHAR(12), age INTEGER CHECK (age > 0),
  sex CHAR(1) DEFAULT 'F', major INTEGER, advisor INTEGER REFERENCES faculty(facid) ON DELETE SET NULL, city_code TEXT);
CREATE TABLE faculty (facid INTEGER PRIMARY KEY AUTOINCREMENT, lname TEXT, rank TEXT, "room no" TEXT, salary DECIMAL(10, 2));
CREATE TABLE has_pet (stuid INTEGER, petid INTEGER, PRIMARY KEY (stuid, petid), FOREIGN KEY (stuid) REFERENCES student);
CREATE TABLE pets (petid INTEGER UNIQUE, pettype TEXT COLLATE NOCASE, pet_age INT, weight REAL);
CREATE VIEW heavy AS SELECT * FROM pets WHERE weight > 10;
"""
COLUMNS = {
    "student": ["stuid", "lname", "fname", "age", "sex", "major", "advisor", "city_code"],
    "faculty": ["facid", "lname", "rank", '"room no"', "salary"],
    "has_pet": ["stuid", "petid"],
    "pets": ["petid", "pettype", "pet_age", "weight", "rowid"],
    "heavy": ["petid", "weight"],
}
TABLES = ["student", "faculty", "has_pet", "pets"]


def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    return connection


def is_prepared(connection: sqlite3.Connection, statement: str) -> bool:
    """Whether sqlite3 prepares the statement. Nothing is run: `EXPLAIN` only compiles."""
    prefix = "" if statement.lstrip().upper().startswith("EXPLAIN") else "EXPLAIN "
    try:
        connection.execute(prefix + statement, {}).close()
    except sqlite3.Error as error:
        return "bindings" in str(error) or "binding" in str(error)
    except sqlite3.Warning:
        return False
    return True


class Writer:
    """Writes statements. Keywords come in one case a statement."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.depth = 0

    def one(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def maybe(self, text: str, chance: float = 0.4) -> str:
        return f" {text}" if self.rng.random() < chance else ""

    def column(self, table: str, alias: str = "") -> str:
        name = self.rng.choice(COLUMNS[table])
        return f"{alias}.{name}" if alias else name

    def value(self) -> str:
        return self.one("1", "20", "3.5", "-1", ".5", "1e3", "0x1F", "'a'", "'O''Neil'", "'%b%'", "x'00ff'", "NULL", "TRUE",
                        "current_date", "''")  # fmt: skip

    def scalar(self, table: str, alias: str) -> str:
        self.depth += 1
        column = self.column(table, alias)
        kinds = [
            lambda: column,
            lambda: column,
            self.value,
            lambda: f"{column} {self.one('+', '-', '*', '/', '%', '||', '&', '<<')} {self.value()}",
            lambda: f"{self.one('lower', 'length', 'abs', 'typeof')}({column})",
            lambda: f"coalesce({column}, {self.value()})",
            lambda: f"substr({column}, 1, 3)",
            lambda: f"CAST({column} AS {self.one('INTEGER', 'TEXT', 'VARCHAR(10)', 'REAL')})",
            lambda: f"CASE WHEN {self.condition(table, alias)} THEN {self.value()} ELSE {column} END",
            lambda: f"CASE {column} WHEN 1 THEN 'x' WHEN 2 THEN 'y' END",
            lambda: f"(SELECT max({self.column('pets')}) FROM pets)",
            lambda: f"strftime('%Y', {column})",
            lambda: f"-({column})",
            lambda: f"replace({column}, 'a', 'b')",
            lambda: f"{column} COLLATE NOCASE",
            lambda: f"iif({column} > 1, 'y', 'n')",
            lambda: f"CASE WHEN {column} IN (1, 2) THEN 1 END",
        ]
        out = self.rng.choice(kinds if self.depth < 4 else kinds[:3])()
        self.depth -= 1
        return out

    def condition(self, table: str, alias: str) -> str:
        self.depth += 1
        left = self.scalar(table, alias)
        kinds = [
            lambda: (
                f"{left} {self.one('=', '!=', '<>', '<', '<=', '>', '>=', '==', 'IS', 'IS NOT')} {self.scalar(table, alias)}"
            ),
            lambda: f"{left}{self.one('=', '>')}{self.value()}",
            lambda: (
                f"{left}{self.maybe('NOT')} LIKE {self.one(chr(39) + '%a%' + chr(39), 'lname', '?')}"
                if table == "student" and not alias
                else f"{left} LIKE 'a%' ESCAPE '!'"
            ),
            lambda: f"{left}{self.maybe('NOT')} BETWEEN {self.value()} AND {self.value()}",
            lambda: f"{left}{self.maybe('NOT')} IN ({self.value()}, {self.value()})",
            lambda: f"{left}{self.maybe('NOT')} IN ({self.select(columns=1)})",
            lambda: f"{left} {self.one('IS NULL', 'IS NOT NULL', 'ISNULL', 'NOTNULL', 'NOT NULL')}",
            lambda: f"{self.maybe('NOT').strip()} EXISTS ({self.select()})".strip(),
            lambda: f"{self.condition(table, alias)} {self.one('AND', 'OR')} {self.condition(table, alias)}",
            lambda: f"({self.condition(table, alias)})",
            lambda: f"NOT {self.condition(table, alias)}",
            lambda: f"{left} GLOB 'x*'",
            lambda: f"{left} = (SELECT avg(weight) FROM pets)",
            lambda: f"{left} > :p{self.rng.randrange(9)}",
        ]
        out = self.rng.choice(kinds if self.depth < 3 else kinds[:2])()
        self.depth -= 1
        return out

    def aggregate(self, table: str, alias: str) -> str:
        column = self.column(table, alias)
        return self.one("count(*)", f"COUNT(DISTINCT {column})", f"avg({column})", f"max({column})", f"sum({column}) ",
                        f"group_concat({column}, '; ')", f"count(*) FILTER (WHERE {column} > 1)",
                        f"row_number() OVER (PARTITION BY {column} ORDER BY {column} DESC)",
                        f"sum({column}) OVER (ORDER BY {column} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)")  # fmt: skip

    def select(self, columns: int = 0) -> str:
        self.depth += 1
        table, alias = self.rng.choice(TABLES), self.one("", "", "T1")
        source = f"{table}{f' AS {alias}' if alias else ''}"
        if alias and self.rng.random() < 0.6:
            other = self.rng.choice(TABLES)
            join = self.one("JOIN", "LEFT JOIN", "INNER JOIN", "LEFT OUTER JOIN", "CROSS JOIN")
            source += (
                f" {join} {other} AS T2 ON T1.{self.rng.choice(COLUMNS[table])} = T2.{self.rng.choice(COLUMNS[other])}"
            )
            if self.rng.random() < 0.3:
                source += " JOIN pets T3"
        elif self.depth < 3 and self.rng.random() < 0.1:
            source, table, alias = f"(SELECT * FROM {table}) AS sub", table, ""
        count = columns or self.rng.randrange(1, 4)
        grouped = self.rng.random() < 0.3 and not columns
        results = [self.aggregate(table, alias) if grouped else self.scalar(table, alias) for _ in range(count)]
        if not columns:
            results = [r + self.one("", "", "", " AS n", " total", ' AS "the name"', " AS 'x'") for r in results]
            if not grouped and self.rng.random() < 0.2:
                results = [self.one("*", f"{alias}.*" if alias else "*")]
        out = f"SELECT {self.one('', '', 'DISTINCT ')}{', '.join(results)} FROM {source}"
        out += self.maybe(f"WHERE {self.condition(table, alias)}", 0.6)
        if grouped:
            out += f" GROUP BY {self.column(table, alias)}" + self.maybe(f"HAVING count(*) {self.one('>', '>=')} 2")
        if not columns and self.rng.random() < 0.4:
            out += f" ORDER BY {self.column(table, alias)}{self.one('', ' DESC', ' ASC', ' COLLATE NOCASE', ' DESC NULLS LAST')}"
        if not columns and self.rng.random() < 0.3:
            out += f" LIMIT {self.one('1', '3 OFFSET 2', '2, 5')}"
        if columns == 1 and self.depth < 3 and self.rng.random() < 0.3:
            out += f" {self.one('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT')} {self.select(columns=1)}"
        self.depth -= 1
        return out

    def change(self) -> str:
        table = self.rng.choice(TABLES)
        columns = [c for c in COLUMNS[table] if c != "rowid"]
        column = self.rng.choice(columns)
        return self.one(
            f"INSERT INTO {table} VALUES ({', '.join(self.value() for _ in columns)})",
            f"INSERT OR IGNORE INTO {table} ({column}) VALUES ({self.value()}), ({self.value()})",
            f"INSERT INTO {table} ({column}) {self.select(columns=1)}",
            f"REPLACE INTO {table}({column}) VALUES ({self.value()})",
            "INSERT INTO pets (petid) VALUES (1) ON CONFLICT (petid) DO UPDATE SET weight = excluded.weight",
            f"INSERT INTO {table} DEFAULT VALUES RETURNING *",
            f"UPDATE {table} SET {column} = {self.scalar(table, '')} WHERE {self.condition(table, '')}",
            f"UPDATE OR REPLACE {table} SET {column} = {self.value()}",
            f"DELETE FROM {table} WHERE {self.condition(table, '')}",
            f"DELETE FROM {table}",
        )

    def definition(self) -> str:
        name = f"t{self.rng.randrange(100)}"
        table = self.rng.choice(TABLES)
        column = self.column("student")
        return self.one(
            f"CREATE TABLE {name} (a INTEGER PRIMARY KEY, b TEXT NOT NULL UNIQUE, c DATETIME DEFAULT CURRENT_TIMESTAMP)",
            f"CREATE TABLE IF NOT EXISTS {name} (id int, k varchar(20) DEFAULT 'x', CONSTRAINT u UNIQUE (id, k)) WITHOUT ROWID"
            if self.rng.random() < 0
            else f"CREATE TABLE IF NOT EXISTS {name} (id int PRIMARY KEY, k varchar(20) DEFAULT 'x') WITHOUT ROWID",
            f"CREATE TEMP TABLE {name} AS {self.select()}",
            f"CREATE TABLE {name} (x, y GENERATED ALWAYS AS (x + 1) STORED, FOREIGN KEY (x) REFERENCES {table} (stuid))",
            f"CREATE {self.one('', 'UNIQUE ')}INDEX i{name} ON student ({column} DESC) WHERE {column} IS NOT NULL",
            f"CREATE VIEW v{name} (a) AS {self.select(columns=1)}",
            f"CREATE TRIGGER r{name} AFTER UPDATE OF age ON student FOR EACH ROW WHEN new.age > 3 BEGIN "
            f"UPDATE student SET age = old.age WHERE stuid = new.stuid; SELECT 1; END",
            f"DROP TABLE IF EXISTS {name}",
            "DROP VIEW heavy",
            f"ALTER TABLE {table} RENAME TO {name}",
            f"ALTER TABLE {table} ADD COLUMN {name} REAL DEFAULT 0",
            "BEGIN IMMEDIATE TRANSACTION",
            "COMMIT",
            "SAVEPOINT s1",
            f"PRAGMA table_info({table})",
            "PRAGMA foreign_keys = ON",
            f"ANALYZE {table}",
        )

    def statement(self) -> str:
        kind = self.rng.random()
        if kind < 0.06:
            text = f"WITH c(n) AS ({self.select(columns=1)}) SELECT n FROM c WHERE n IN (SELECT n FROM c)"
        elif kind < 0.08:
            text = f"WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < 9) {self.select()}"
        elif kind < 0.12:
            text = f"{self.select(columns=1)} {self.one('UNION', 'INTERSECT', 'EXCEPT')} {self.select(columns=1)}"
        elif kind < 0.24:
            text = self.change()
        elif kind < 0.32:
            text = self.definition()
        else:
            text = self.select()
        return text + self.one("", ";", " ;", " -- done\n", "")
