CREATE TABLE _nexusd_schema_state (
  scope TEXT NOT NULL PRIMARY KEY,
  run_id INTEGER NOT NULL,
  model_hash TEXT NOT NULL,
  files_hash TEXT NOT NULL,
  tables TEXT NOT NULL,
  deferred INTEGER NOT NULL DEFAULT 0,
  format INTEGER NOT NULL,
  app_version TEXT NOT NULL,
  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);
CREATE TABLE _nexusd_schema_run (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  scope TEXT NOT NULL,
  kind TEXT NOT NULL,
  model_hash TEXT NOT NULL,
  app_version TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  status TEXT NOT NULL,
  error TEXT,
  started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
  finished_at TEXT
);
CREATE INDEX _nexusd_schema_run_history ON _nexusd_schema_run (scope, model_hash, status);
CREATE TABLE _nexusd_schema_step (
  run_id INTEGER NOT NULL REFERENCES _nexusd_schema_run (id),
  seq INTEGER NOT NULL,
  tbl TEXT NOT NULL,
  kind TEXT NOT NULL,
  sql TEXT NOT NULL,
  ms REAL NOT NULL,
  PRIMARY KEY (run_id, seq)
);
CREATE TABLE _nexusd_migration (
  version TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  phase TEXT NOT NULL,
  status TEXT NOT NULL,
  statements_done INTEGER NOT NULL DEFAULT 0,
  run_id INTEGER,
  applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);
CREATE TABLE _nexusd_secret (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  value BLOB NOT NULL
);
