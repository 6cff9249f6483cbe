//! What the service says to Postgres, the same on every host: one statement a request.
//!
//! The table and the role are those of `migrations/`.

/// Gives the column `date_of_birth` of the user `$1`, or no row.
pub const SELECT: &str = "SELECT date_of_birth FROM users WHERE username = $1";

/// Saves or replaces the date of birth `$2` of the user `$1`.
pub const UPSERT: &str = "INSERT INTO users (username, date_of_birth) VALUES ($1, $2) \
     ON CONFLICT (username) DO UPDATE \
     SET date_of_birth = EXCLUDED.date_of_birth, updated_at = now()";

/// Gives no row, and fails while the table is missing or not readable.
pub const PING: &str = "SELECT date_of_birth FROM users WHERE false";
