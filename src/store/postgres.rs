//! What the service says to Postgres, the same on every host: one statement a request.
//!
//! The table and the role are those of `migrations/`.

// Every statement here gives exactly one row, or none is asked for: Spin up to 4.1 never
// returns from a query that finds no row.

/// Gives one row with the date of birth of the user `$1`, or with null.
pub const SELECT: &str = "SELECT (SELECT date_of_birth FROM users WHERE username = $1)";

/// Saves or replaces the date of birth `$2` of the user `$1`.
pub const UPSERT: &str = "INSERT INTO users (username, date_of_birth) VALUES ($1, $2) \
     ON CONFLICT (username) DO UPDATE \
     SET date_of_birth = EXCLUDED.date_of_birth, updated_at = now()";

/// Gives one row, and fails while the table is missing or not readable.
pub const PING: &str = "SELECT EXISTS (SELECT FROM users)";
