//! The SQL statements, the same on every host: one per request.
//!
//! `migrations/` creates the table and the role.

// Every query returns exactly one row: Spin up to 4.1 never returns from one without rows.

/// Returns one row: the date of birth of the user `$1`, or null.
pub const SELECT: &str = "SELECT (SELECT date_of_birth FROM users WHERE username = $1)";

/// Saves or replaces the date of birth `$2` of the user `$1`.
pub const UPSERT: &str = "INSERT INTO users (username, date_of_birth) VALUES ($1, $2) \
     ON CONFLICT (username) DO UPDATE \
     SET date_of_birth = EXCLUDED.date_of_birth, updated_at = now()";

/// Returns one row, and fails if the table is missing or not readable.
pub const PING: &str = "SELECT EXISTS (SELECT FROM users)";
