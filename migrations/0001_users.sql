-- Users, and the role that the service signs in as.
--
-- Each file here is applied in one transaction by a role that owns the database, in the order
-- of its number, and can be applied again at any time. It is compatible with the version of the
-- service before it: expand first, contract in a later release.
-- `cargo xtask migrate --url …` does that, or psql in a Job:
--   psql --no-psqlrc --set ON_ERROR_STOP=1 --single-transaction --file FILE

-- Two migrations at once would otherwise race for the same names in the catalogue.
SELECT pg_advisory_xact_lock(hashtext('hello migrations'));

SET LOCAL client_min_messages = warning;

-- "C": the letters A to Z and a to z, and `Ada` is not `ada`, whatever the database's locale is.
CREATE TABLE IF NOT EXISTS users (
    username      text COLLATE "C" PRIMARY KEY
                  CONSTRAINT users_username_check CHECK (username ~ '^[A-Za-z]{1,64}$'),
    date_of_birth date NOT NULL
                  CONSTRAINT users_date_of_birth_check
                  CHECK (date_of_birth BETWEEN '0001-01-01' AND '9999-12-31'),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

-- The service: no DDL, no DELETE, and no password until an operator gives it one.
DO $$
BEGIN
    CREATE ROLE hello LOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

-- A WASI 0.2 component cannot bound a call to its host, so the server bounds the query.
ALTER ROLE hello SET statement_timeout = '3s';
ALTER ROLE hello SET lock_timeout = '2s';
ALTER ROLE hello SET idle_in_transaction_session_timeout = '5s';

REVOKE ALL ON users FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON users TO hello;
