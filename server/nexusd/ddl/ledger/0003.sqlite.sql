CREATE TABLE _nexusd_idempotency (
  scope TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  execution_id TEXT NOT NULL,
  answer TEXT,
  holder TEXT,
  until INTEGER,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
);
