-- Everything the engine stores.
--
-- Conventions
--   * number is an invocation's own small integer: rows of one invocation stand together, and keys stay short.
--   * Times are milliseconds since the epoch. In columns that change often, -1 and '' stand for "none": writing NULL
--     costs the Python driver as much as the whole row. Columns written once use NULL.
--   * A statement ends at the end of a line.

-- Invocations: what is fixed, then what changes. flags: 1 waits, 2 has children, 4 pause requested.
-- While status is 'running', journal_length, command_count and last_entry_at may lag behind the journal, by up to 64
-- entries: a step is stored with its entries alone. Readers count what stands at journal_length and after.
-- details: '' or a JSON object with suspended_on, awaiting_on (hexadecimal) and failure.
CREATE TABLE invocations (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    service TEXT NOT NULL,
    key TEXT NOT NULL,
    handler TEXT NOT NULL,
    kind TEXT NOT NULL,
    idempotency_key TEXT,
    scope TEXT,
    limit_key TEXT,
    invoked_by TEXT NOT NULL,
    parent_id TEXT,
    parent_target TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    random_seed INTEGER NOT NULL,
    journal_retention_ms INTEGER NOT NULL,
    completion_retention_ms INTEGER NOT NULL,
    scheduled_start_at INTEGER,
    status TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    inboxed_at INTEGER NOT NULL,
    running_at INTEGER NOT NULL,
    completed_at INTEGER NOT NULL,
    journal_length INTEGER NOT NULL,
    command_count INTEGER NOT NULL,
    deployment_id TEXT NOT NULL,
    protocol_version INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    journal_expires_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    attempt_deployment_id TEXT NOT NULL,
    attempt_version INTEGER NOT NULL,
    attempt_server TEXT NOT NULL,
    attempt_started_at INTEGER NOT NULL,
    retry_count INTEGER NOT NULL,
    retries_since_entry INTEGER NOT NULL,
    last_entry_at INTEGER NOT NULL,
    next_retry_at INTEGER NOT NULL,
    details TEXT NOT NULL,
    attempt_known_entries INTEGER NOT NULL
);
CREATE INDEX invocations_parent ON invocations (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX invocations_running ON invocations (id) WHERE status IN ('running', 'backing-off');
CREATE INDEX invocations_expiry ON invocations (expires_at) WHERE expires_at >= 0;
CREATE INDEX invocations_journal_expiry ON invocations (journal_expires_at) WHERE journal_expires_at >= 0;

-- Results of completed invocations: a value, or a failure as JSON; both NULL for none.
CREATE TABLE results (
    number INTEGER PRIMARY KEY,
    value BLOB,
    failure TEXT
);

-- Journals; nothing is ever updated. position is number * 2^20 + index: one integer key, so that a journal is
-- one range of the table and appending needs no second tree. handle is an integer or a text, as it travels.
CREATE TABLE entries (
    position INTEGER PRIMARY KEY,
    type INTEGER NOT NULL,
    handle,
    failed INTEGER NOT NULL,
    appended_at INTEGER NOT NULL,
    payload BLOB NOT NULL
);

-- What has to happen at a time. kind: 0 sleep, 1 start, 2 retry.
CREATE TABLE timers (
    number INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    completion_id INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (number, kind, completion_id)
) WITHOUT ROWID;
CREATE INDEX timers_due ON timers (due_at);

-- Who holds the lock of an object's key.
CREATE TABLE locks (
    service TEXT NOT NULL,
    key TEXT NOT NULL,
    invocation_id TEXT NOT NULL,
    PRIMARY KEY (service, key)
) WITHOUT ROWID;

-- Who waits for the lock, in order; sequence numbers are never used twice. edit: an edit of the state as JSON.
CREATE TABLE inbox (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    service TEXT NOT NULL,
    key TEXT NOT NULL,
    invocation_id TEXT,
    edit TEXT,
    created_at INTEGER NOT NULL
);
CREATE INDEX inbox_object ON inbox (service, key);
CREATE INDEX inbox_invocation ON inbox (invocation_id) WHERE invocation_id IS NOT NULL;

-- State of objects and workflows.
CREATE TABLE state (
    service TEXT NOT NULL,
    key TEXT NOT NULL,
    name BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (service, key, name)
) WITHOUT ROWID;

-- Completed promises of workflows: a value, or a failure as JSON.
CREATE TABLE promises (
    service TEXT NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    value BLOB,
    failure TEXT,
    completed_at INTEGER NOT NULL,
    PRIMARY KEY (service, key, name)
) WITHOUT ROWID;

-- Who awaits a promise that is not completed.
CREATE TABLE promise_waiters (
    number INTEGER NOT NULL,
    completion_id INTEGER NOT NULL,
    service TEXT NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (number, completion_id)
) WITHOUT ROWID;
CREATE INDEX promise_waiters_promise ON promise_waiters (service, key, name);

-- Who awaits the completion of another invocation.
CREATE TABLE waiters (
    waiter INTEGER NOT NULL,
    completion_id INTEGER NOT NULL,
    awaited INTEGER NOT NULL,
    notification_type INTEGER NOT NULL,
    PRIMARY KEY (waiter, completion_id)
) WITHOUT ROWID;
CREATE INDEX waiters_awaited ON waiters (awaited);

-- Where services run, and their revisions; the records are JSON.
CREATE TABLE deployments (
    id TEXT PRIMARY KEY,
    record TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE services (
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    deployment_id TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (name, revision)
) WITHOUT ROWID;
CREATE INDEX services_deployment ON services (deployment_id);

-- Who drives the file: one row. The epoch grows with each take-over; every transaction checks it.
CREATE TABLE engine (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    owner TEXT NOT NULL,
    address TEXT NOT NULL,
    expires_at INTEGER NOT NULL
);
INSERT INTO engine VALUES (1, 0, '', '', 0);
