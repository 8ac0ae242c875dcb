CREATE TABLE _nexusd_api_key (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  sha256 BLOB NOT NULL,
  scopes TEXT NOT NULL,
  claims TEXT NOT NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT,
  last_used_at TEXT,
  revoked_at TEXT
);
