CREATE TABLE _nexusd_idempotency (
  scope text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  fingerprint bytea NOT NULL,
  execution_id text NOT NULL,
  answer text,
  holder text,
  until timestamptz,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (scope, key)
);
CREATE INDEX _nexusd_idempotency_expiry ON _nexusd_idempotency (expires_at);
