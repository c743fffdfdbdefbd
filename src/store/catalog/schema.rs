//! The catalog's tables.

/// Times are seconds since 1970; `version` counts up with each change.
pub(in crate::store) const SCHEMA: &str = "
     -- One row: keys of applications and tokens are known by digests keyed with this.
     CREATE TABLE secrets (
         name TEXT PRIMARY KEY,
         value BLOB NOT NULL
     ) STRICT;
     CREATE TABLE products (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         name TEXT NOT NULL UNIQUE,
         -- 'api', or 'file': declared in the configuration, and not to be changed here.
         origin TEXT NOT NULL,
         -- The product with its plans, as JSON.
         definition TEXT NOT NULL,
         -- What tells upstreams who forwards: the value that is sent, the one that will be, and when.
         secret TEXT NOT NULL,
         next_secret TEXT,
         next_secret_at INTEGER,
         version INTEGER NOT NULL,
         created_at INTEGER NOT NULL,
         updated_at INTEGER NOT NULL
     ) STRICT;
     -- Names get their ids once and keep them, also when they are gone from the definition, so that
     -- usage stays theirs over any change. hits is among them, and methods are.
     CREATE TABLE metrics (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         product INTEGER NOT NULL REFERENCES products ON DELETE CASCADE,
         name TEXT NOT NULL,
         UNIQUE (product, name)
     ) STRICT;
     -- Those of the definition. One that applications have can't leave it.
     CREATE TABLE plans (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         product INTEGER NOT NULL REFERENCES products ON DELETE CASCADE,
         name TEXT NOT NULL,
         UNIQUE (product, name)
     ) STRICT;
     CREATE TABLE accounts (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         name TEXT NOT NULL,
         email TEXT,
         state TEXT NOT NULL,
         attributes TEXT NOT NULL,
         version INTEGER NOT NULL,
         created_at INTEGER NOT NULL,
         updated_at INTEGER NOT NULL
     ) STRICT;
     CREATE UNIQUE INDEX accounts_by_name ON accounts (name);
     CREATE TABLE applications (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
         product INTEGER NOT NULL REFERENCES products,
         plan INTEGER NOT NULL REFERENCES plans,
         -- Public: what stands beside an app_key.
         app_id TEXT NOT NULL UNIQUE,
         name TEXT NOT NULL,
         description TEXT NOT NULL,
         state TEXT NOT NULL,
         attributes TEXT NOT NULL,
         trial_ends_at INTEGER,
         ends_at INTEGER,
         version INTEGER NOT NULL,
         created_at INTEGER NOT NULL,
         updated_at INTEGER NOT NULL
     ) STRICT;
     CREATE INDEX applications_by_account ON applications (account);
     -- Each alone: a list by one of them then comes by id, and nothing is sorted.
     CREATE INDEX applications_by_product ON applications (product);
     CREATE INDEX applications_by_plan ON applications (plan);
     CREATE TABLE credentials (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         application INTEGER NOT NULL REFERENCES applications ON DELETE CASCADE,
         kind TEXT NOT NULL,
         -- What it is known by, keyed and hashed. No key itself is kept anywhere.
         digest BLOB NOT NULL,
         -- The first characters, by which its owner knows it.
         hint TEXT NOT NULL,
         -- Of basic: the password's hash.
         password TEXT,
         label TEXT NOT NULL,
         created_at INTEGER NOT NULL,
         ends_at INTEGER,
         revoked_at INTEGER,
         last_used_at INTEGER
     ) STRICT;
     -- A certificate or claim that was revoked may be given again.
     CREATE UNIQUE INDEX credentials_by_digest ON credentials (digest) WHERE revoked_at IS NULL;
     CREATE INDEX credentials_by_application ON credentials (application);
     CREATE TABLE tokens (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         digest BLOB NOT NULL UNIQUE,
         hint TEXT NOT NULL,
         label TEXT NOT NULL,
         -- 'read', 'operate' or 'account'.
         scope TEXT NOT NULL,
         account INTEGER REFERENCES accounts ON DELETE CASCADE,
         created_at INTEGER NOT NULL,
         ends_at INTEGER,
         revoked_at INTEGER,
         last_used_at INTEGER
     ) STRICT;
     CREATE TABLE audit (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         at INTEGER NOT NULL,
         -- Who: a token's id and label, or 'file' or 'cli'.
         actor TEXT NOT NULL,
         action TEXT NOT NULL,
         kind TEXT NOT NULL,
         object INTEGER NOT NULL,
         -- JSON, without secrets; NULL: was not there, is no longer there.
         before TEXT,
         after TEXT
     ) STRICT;
     CREATE INDEX audit_by_object ON audit (kind, object);
     CREATE INDEX audit_by_time ON audit (at);
     -- Answers to calls that may be repeated (Idempotency-Key). Sealed: there may be secrets in them.
     CREATE TABLE idempotency (
         token INTEGER NOT NULL,
         key TEXT NOT NULL,
         request BLOB NOT NULL,
         status INTEGER NOT NULL,
         answer BLOB NOT NULL,
         at INTEGER NOT NULL,
         PRIMARY KEY (token, key)
     ) STRICT;
     CREATE INDEX idempotency_by_time ON idempotency (at);";
