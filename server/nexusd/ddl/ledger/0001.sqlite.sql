CREATE TABLE _nexusd_schema_state (
  scope TEXT NOT NULL PRIMARY KEY,
  run_id INTEGER NOT NULL,
  model_hash TEXT NOT NULL,
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
  started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
  finished_at TEXT
);
CREATE TABLE _nexusd_schema_step (
  run_id INTEGER NOT NULL REFERENCES _nexusd_schema_run (id),
  seq INTEGER NOT NULL,
  tbl TEXT NOT NULL,
  kind TEXT NOT NULL,
  risk TEXT NOT NULL,
  sql TEXT NOT NULL,
  PRIMARY KEY (run_id, seq)
);
CREATE TABLE _nexusd_secret (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  value BLOB NOT NULL
);
