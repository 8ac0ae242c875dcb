"""What it costs to find out that nothing changed: our decision against Alembic's comparison, alternating.

`python -m tests.benchmarks.migrations [models] [rounds] [url…]`; without URLs a SQLite file and a PostgreSQL server of
the test installation. Both sides have their connection open; ours computes the registry's hashes anew each time.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nexusd import catalog
from nexusd.configuration import load_settings
from nexusd.ddl.executor import SyncDDLExecutor
from nexusd.ddl.migration import Migration, Verdict
from nexusd.ddl.tables import wanted_tables
from nexusd.definitions.loader import load_registry
from nexusd.embedding.references import PythonDefinitions
from nexusd.events import ignore
from tests.support.postgres import PostgresServer, postgres_versions
from tests.support.run_folder import RunFolder
from tests.support.schema_oracle import Oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.definitions.model import Model

_MODEL = """
  Model{n}:
    table: table_{n}
    fields:
      id: {{type: str, primary_key: true}}
      name: str
      email: {{type: str, unique: true, max_length: 320}}
      company: {{type: str, nullable: true, index: true}}
      amount: {{type: decimal, precision: 12, scale: 2, default: "0"}}
      kind: {{type: enum, values: [a, b], default: a}}
      other_id: {{type: str, nullable: true, references: Model{other}.id}}
    indexes: [{{fields: [company, name]}}]
"""


def _models(count: int, folder: Path) -> Mapping[str, Model]:
    text = "version: 1\nmodels:" + "".join(_MODEL.format(n=n, other=max(0, n - 1)) for n in range(count))
    (folder / "r.yaml").write_text(text)
    return load_registry(str(folder / "r.yaml"), PythonDefinitions()).models


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000


def _measure(url: str, models: Mapping[str, Model], rounds: int, folder: Path) -> None:
    settings = load_settings(None, {"DATABASE_URL": url})
    options = catalog.ddl_options(settings, "benchmark")
    connect = catalog.ddl_connect(settings.database)
    first = SyncDDLExecutor(connect, models, folder, options, ignore)
    first.start()
    fresh = _timed(first.wait)[0]
    target = connect()
    oracle = Oracle(url, models)

    def ours() -> None:
        tables = wanted_tables(models, target.dialect)
        result = Migration(target, tables, (), options, ignore, threading.Event()).bring()
        if result.verdict is not Verdict.UNCHANGED:
            raise AssertionError(result)

    def alembic() -> None:
        if oracle.disagreements():
            raise AssertionError

    figures: dict[str, list[tuple[float, float]]] = {"ours": [], "alembic": []}
    for _ in range(rounds):
        figures["ours"].append(_timed(ours))
        figures["alembic"].append(_timed(alembic))
    print(f"{url.partition(':')[0]}, {len(models)} models; made in {fresh:.0f} ms")
    medians = {}
    for name, values in figures.items():
        wall, cpu = (statistics.median(column) for column in zip(*values, strict=True))
        medians[name] = wall
        print(f"  {name:8} {wall:8.2f} ms wall, {cpu:8.2f} ms CPU (medians of {rounds})")
    print(f"  ratio    {medians['alembic'] / medians['ours']:8.1f}")
    oracle.close()
    target.hand_over()


def main() -> None:
    """Measure on both databases."""
    count, rounds = (int(word) for word in (*sys.argv[1:3], *("100", "7")[len(sys.argv[1:3]) :]))
    with tempfile.TemporaryDirectory() as name, RunFolder() as run_folder:
        folder = Path(name)
        models = _models(count, folder)
        _measure(f"sqlite:///{folder}/b.db", models, rounds, folder)
        urls = sys.argv[3:]
        if urls:
            for url in urls:
                _measure(url, models, rounds, folder)
            return
        server = PostgresServer(postgres_versions()[0], run_folder.path, {"fsync": "off"})
        server.start()
        try:
            _measure(server.url("postgres"), models, rounds, folder)
        finally:
            server.stop("immediate")


if __name__ == "__main__":
    main()
