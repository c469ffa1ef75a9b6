CREATE TABLE database_identity (
    only_row boolean CONSTRAINT database_identity_pkey PRIMARY KEY DEFAULT true CONSTRAINT database_identity_only_row_check CHECK (only_row),
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE database_identity IS 'Which history this database holds. One row.';
COMMENT ON COLUMN database_identity.only_row IS 'Always true: keeps the table at one row.';
COMMENT ON COLUMN database_identity.epoch IS 'Told to every client. Another epoch means another history (a restored backup): clients start over.';
COMMENT ON COLUMN database_identity.created_at IS 'When this database was first migrated.';

INSERT INTO database_identity DEFAULT VALUES;
