-- name: insert_invocation
-- A new invocation; SQLite gives it the next number.
INSERT INTO invocations (
    id, service, key, handler, kind, idempotency_key, scope, limit_key, invoked_by, parent_id, parent_target,
    created_at, random_seed, journal_retention_ms, completion_retention_ms, scheduled_start_at,
    status, expires_at, journal_expires_at, modified_at, inboxed_at, running_at, completed_at, journal_length,
    command_count, deployment_id, protocol_version, flags, attempt, attempt_deployment_id, attempt_version,
    attempt_server, attempt_started_at, retry_count, retries_since_entry, last_entry_at, next_retry_at, details,
    attempt_known_entries
) VALUES (
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
);

-- name: update_invocation
-- What changes of an invocation, all at once.
UPDATE invocations SET
    status = ?, expires_at = ?, journal_expires_at = ?, modified_at = ?, inboxed_at = ?, running_at = ?, completed_at = ?,
    journal_length = ?, command_count = ?, deployment_id = ?, protocol_version = ?, flags = ?,
    attempt = ?, attempt_deployment_id = ?, attempt_version = ?, attempt_server = ?, attempt_started_at = ?,
    retry_count = ?, retries_since_entry = ?, last_entry_at = ?, next_retry_at = ?, details = ?,
    attempt_known_entries = ?
WHERE number = ?;

-- name: update_progress
-- The same without the columns that stand in indexes: naming them costs a write of each index, whatever they hold.
UPDATE invocations SET
    modified_at = ?, inboxed_at = ?, running_at = ?, completed_at = ?,
    journal_length = ?, command_count = ?, deployment_id = ?, protocol_version = ?, flags = ?,
    attempt = ?, attempt_deployment_id = ?, attempt_version = ?, attempt_server = ?, attempt_started_at = ?,
    retry_count = ?, retries_since_entry = ?, last_entry_at = ?, next_retry_at = ?, details = ?,
    attempt_known_entries = ?
WHERE number = ?;

-- name: invocation
-- One invocation by its id.
SELECT
    number, id, service, key, handler, kind, idempotency_key, scope, limit_key, invoked_by, parent_id, parent_target,
    created_at, random_seed, journal_retention_ms, completion_retention_ms, scheduled_start_at,
    status, expires_at, journal_expires_at, modified_at, inboxed_at, running_at, completed_at, journal_length,
    command_count, deployment_id, protocol_version, flags, attempt, attempt_deployment_id, attempt_version,
    attempt_server, attempt_started_at, retry_count, retries_since_entry, last_entry_at, next_retry_at, details,
    attempt_known_entries
FROM invocations WHERE id = ?;

-- name: invocation_number
-- The number behind an id.
SELECT number FROM invocations WHERE id = ?;

-- name: delete_invocation
-- One invocation; its other rows are deleted by their own statements.
DELETE FROM invocations WHERE number = ?;

-- name: children
-- Who was made by an invocation.
SELECT id FROM invocations WHERE parent_id = ?;

-- name: running
-- A page of what was running or backing off, in the order of ids.
SELECT id FROM invocations WHERE status IN ('running', 'backing-off') AND id > ? ORDER BY id LIMIT ?;

-- name: expired
-- Whose retention has ended.
SELECT id FROM invocations WHERE expires_at >= 0 AND expires_at <= ? ORDER BY expires_at, number LIMIT ?;

-- name: journals_expired
-- Whose journal's retention has ended.
SELECT id FROM invocations WHERE journal_expires_at >= 0 AND journal_expires_at <= ?
ORDER BY journal_expires_at, number LIMIT ?;

-- name: next_expiry
-- When the next retention ends: NULL or a time, for invocations and for journals.
SELECT
    (SELECT min(expires_at) FROM invocations WHERE expires_at >= 0),
    (SELECT min(journal_expires_at) FROM invocations WHERE journal_expires_at >= 0);

-- name: put_result
-- The result of an invocation.
INSERT OR REPLACE INTO results (number, value, failure) VALUES (?, ?, ?);

-- name: result
-- The result of an invocation.
SELECT value, failure FROM results JOIN invocations USING (number) WHERE id = ?;

-- name: delete_result
-- The result goes with its invocation.
DELETE FROM results WHERE number = ?;

-- name: append_command
-- One command at the end of a journal.
INSERT INTO entries (position, type, failed, appended_at, payload) VALUES (?, ?, 0, ?, ?);

-- name: append_notification
-- One notification at the end of a journal.
INSERT INTO entries (position, type, handle, failed, appended_at, payload) VALUES (?, ?, ?, ?, ?, ?);

-- name: entries
-- A range of a journal, in order.
SELECT position & 0xFFFFF, type, payload, handle, failed, appended_at FROM entries
WHERE position >= ? AND position < ? ORDER BY position;

-- name: uncounted
-- Of the last entries of a journal, whether each is a command, and when it was appended.
SELECT handle IS NULL, appended_at FROM entries WHERE position >= ? AND position < ? ORDER BY position;

-- name: notifications
-- The notifications of a range of a journal, in order; payloads that stand in pages of their own are not read.
SELECT position & 0xFFFFF, handle, failed FROM entries
WHERE position >= ? AND position < ? AND handle IS NOT NULL ORDER BY position;

-- name: delete_journal
-- A whole journal.
DELETE FROM entries WHERE position >= ? AND position < ?;

-- name: put_timer
-- One timer, in place of one with the same key.
INSERT OR REPLACE INTO timers (number, kind, completion_id, due_at) VALUES (?, ?, ?, ?);

-- name: delete_timer
-- One timer.
DELETE FROM timers WHERE number = ? AND kind = ? AND completion_id = ?;

-- name: delete_timers
-- Every timer of an invocation.
DELETE FROM timers WHERE number = ?;

-- name: due_timers
-- The timers that are due, earliest first, then of the oldest invocation.
SELECT due_at, timers.kind, id, completion_id FROM timers JOIN invocations USING (number)
WHERE due_at <= ? ORDER BY due_at, timers.number, timers.kind, completion_id LIMIT ?;

-- name: next_timer
-- When the next timer is due.
SELECT min(due_at) FROM timers;

-- name: put_lock
-- Who holds the lock of a key.
INSERT OR REPLACE INTO locks (service, key, invocation_id) VALUES (?, ?, ?);

-- name: lock_holder
-- Who holds the lock of a key.
SELECT invocation_id FROM locks WHERE service = ? AND key = ?;

-- name: delete_lock
-- The lock of a key is free.
DELETE FROM locks WHERE service = ? AND key = ?;

-- name: push_inbox
-- One more that waits for a key.
INSERT INTO inbox (service, key, invocation_id, edit, created_at) VALUES (?, ?, ?, ?, ?);

-- name: inbox_head
-- Who is next for a key.
SELECT sequence, service, key, invocation_id, edit, created_at FROM inbox
WHERE service = ? AND key = ? ORDER BY sequence LIMIT 1;

-- name: delete_inbox_item
-- One that no longer waits for its key.
DELETE FROM inbox WHERE sequence = ?;

-- name: delete_from_inbox
-- An invocation no longer waits for its key.
DELETE FROM inbox WHERE invocation_id = ?;

-- name: put_state
-- One value of a key's state.
INSERT OR REPLACE INTO state (service, key, name, value) VALUES (?, ?, ?, ?);

-- name: state_value
-- One value of a key's state.
SELECT value FROM state WHERE service = ? AND key = ? AND name = ?;

-- name: state_names
-- The names of a key's state.
SELECT name FROM state WHERE service = ? AND key = ? ORDER BY name;

-- name: state_items
-- The whole state of a key.
SELECT name, value FROM state WHERE service = ? AND key = ? ORDER BY name;

-- name: delete_state
-- One value of a key's state.
DELETE FROM state WHERE service = ? AND key = ? AND name = ?;

-- name: clear_state
-- The whole state of a key.
DELETE FROM state WHERE service = ? AND key = ?;

-- name: put_promise
-- A completed promise.
INSERT OR REPLACE INTO promises (service, key, name, value, failure, completed_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: promise
-- A completed promise.
SELECT value, failure, completed_at FROM promises WHERE service = ? AND key = ? AND name = ?;

-- name: delete_promises
-- Every promise of a workflow's key.
DELETE FROM promises WHERE service = ? AND key = ?;

-- name: add_promise_waiter
-- Who awaits a promise.
INSERT OR REPLACE INTO promise_waiters (number, completion_id, service, key, name) VALUES (?, ?, ?, ?, ?);

-- name: promise_waiters
-- Who awaits a promise, the oldest invocation first.
SELECT id, completion_id FROM promise_waiters AS waiting JOIN invocations USING (number)
WHERE waiting.service = ? AND waiting.key = ? AND waiting.name = ? ORDER BY waiting.number, completion_id;

-- name: delete_promise_waiters
-- A promise is no longer awaited.
DELETE FROM promise_waiters WHERE service = ? AND key = ? AND name = ?;

-- name: delete_promise_waits_of
-- An invocation no longer awaits promises.
DELETE FROM promise_waiters WHERE number = ?;

-- name: add_waiter
-- Who awaits an invocation.
INSERT OR REPLACE INTO waiters (waiter, completion_id, awaited, notification_type) VALUES (?, ?, ?, ?);

-- name: waiters
-- Who awaits an invocation, the oldest first.
SELECT id, completion_id, notification_type FROM waiters JOIN invocations ON number = waiter
WHERE awaited = ? ORDER BY waiter, completion_id;

-- name: delete_waiters
-- An invocation is no longer awaited.
DELETE FROM waiters WHERE awaited = ?;

-- name: delete_waits_of
-- An invocation no longer awaits others.
DELETE FROM waiters WHERE waiter = ?;

-- name: put_deployment
-- A deployment.
INSERT OR REPLACE INTO deployments (id, record) VALUES (?, ?);

-- name: deployments
-- Every deployment.
SELECT record FROM deployments;

-- name: delete_deployment
-- A deployment; the revisions on it go by a statement of their own.
DELETE FROM deployments WHERE id = ?;

-- name: put_service
-- One revision of a service.
INSERT OR REPLACE INTO services (name, revision, deployment_id, record) VALUES (?, ?, ?, ?);

-- name: services
-- Every revision of every service.
SELECT record FROM services;

-- name: delete_service
-- One revision of a service.
DELETE FROM services WHERE name = ? AND revision = ?;

-- name: delete_services_of
-- Every revision on a deployment.
DELETE FROM services WHERE deployment_id = ?;

-- name: lease
-- Who drives the file.
SELECT epoch, owner, address, expires_at FROM engine WHERE one = 1;

-- name: put_lease
-- Who drives the file from now on.
UPDATE engine SET epoch = ?, owner = ?, address = ?, expires_at = ? WHERE one = 1;

-- name: epoch
-- Whose turn it is; asked for at the start of every transaction.
SELECT epoch FROM engine WHERE one = 1;
