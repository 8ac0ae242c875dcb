CREATE TABLE _nexusd_api_key (
  id text PRIMARY KEY,
  name text NOT NULL,
  sha256 bytea NOT NULL,
  scopes text NOT NULL,
  claims text NOT NULL,
  created_at text NOT NULL,
  expires_at text,
  last_used_at text,
  revoked_at text
);
