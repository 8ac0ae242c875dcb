CREATE TABLE _nexusd_audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  principal text NOT NULL,
  workflow text NOT NULL,
  node text NOT NULL,
  execution_id text NOT NULL,
  model text,
  operation text NOT NULL,
  key text,
  version bigint
);
CREATE INDEX _nexusd_audit_record ON _nexusd_audit (model, key);
CREATE INDEX _nexusd_audit_time ON _nexusd_audit USING brin (at);
CREATE OR REPLACE FUNCTION _nexusd_audit_is_final() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN RAISE EXCEPTION ''rows of _nexusd_audit are not changed''; END';
CREATE TRIGGER _nexusd_audit_is_final BEFORE UPDATE ON _nexusd_audit
  FOR EACH ROW EXECUTE FUNCTION _nexusd_audit_is_final();
