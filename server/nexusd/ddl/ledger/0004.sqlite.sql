CREATE TABLE _nexusd_audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  principal TEXT NOT NULL,
  workflow TEXT NOT NULL,
  node TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  model TEXT,
  operation TEXT NOT NULL,
  key TEXT,
  version INTEGER
);
CREATE INDEX _nexusd_audit_record ON _nexusd_audit (model, key);
CREATE TRIGGER _nexusd_audit_is_final BEFORE UPDATE ON _nexusd_audit
BEGIN
  SELECT RAISE(ABORT, 'rows of _nexusd_audit are not changed');
END;
