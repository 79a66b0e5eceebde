-- Who may sign in: users and service clients, each of one tenant, and their API keys. No row-level security here: sign-in has to find an
-- account before there is a tenant to be limited to.
CREATE SCHEMA identity;

CREATE TABLE identity.accounts (
    account_id text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('user', 'client')),
    tenant_id text NOT NULL,
    -- Of a user, the login. Unique in the tenant, so that no tenant finds out, or blocks, what another calls its people.
    name text NOT NULL COLLATE "C",
    role text NOT NULL CHECK (role IN ('admin', 'manager', 'agent', 'customer')),
    customer_id text,
    -- argon2id, in the PHC form: parameters and salt are in it.
    secret_hash text NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    -- now(), the transaction's time: of a new account both times are the same.
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    UNIQUE (tenant_id, kind, name),
    UNIQUE (tenant_id, account_id),
    CHECK (role <> 'customer' OR customer_id IS NOT NULL)
);

CREATE TABLE identity.api_keys (
    prefix text PRIMARY KEY COLLATE "C" CHECK (length(prefix) = 8),
    -- SHA-256 of the whole key, whose random part has 256 bits.
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    tenant_id text NOT NULL,
    account_id text NOT NULL,
    label text NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL,
    -- A key acts as its owner, is of the owner's tenant, and goes with the owner.
    FOREIGN KEY (tenant_id, account_id) REFERENCES identity.accounts (tenant_id, account_id) ON DELETE CASCADE,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX api_keys_of_account ON identity.api_keys (tenant_id, account_id);
