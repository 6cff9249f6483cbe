//! The SQL statements, the same on every host: one per request. And the address, of variables.
//!
//! `migrations/` creates the table and the role.

use std::fmt::Write;

use super::StoreError;

// Every query returns exactly one row: Spin up to 4.1 never returns from one without rows.

/// Returns one row: the date of birth of the user `$1`, or null.
pub const SELECT: &str = "SELECT (SELECT date_of_birth FROM users WHERE username = $1)";

/// Saves or replaces the date of birth `$2` of the user `$1`.
pub const UPSERT: &str = "INSERT INTO users (username, date_of_birth) VALUES ($1, $2) \
     ON CONFLICT (username) DO UPDATE \
     SET date_of_birth = EXCLUDED.date_of_birth, updated_at = now()";

/// Returns one row, and fails if the table is missing or not readable.
pub const PING: &str = "SELECT EXISTS (SELECT FROM users)";

/// The variables of the address, each with its keyword in a libpq connection string.
pub const VARIABLES: [(&str, &str); 6] = [
    ("postgres_host", "host"),
    ("postgres_port", "port"),
    ("postgres_database", "dbname"),
    ("postgres_user", "user"),
    ("postgres_password", "password"),
    ("postgres_sslmode", "sslmode"),
];

/// The placeholder in spin.toml for a host that is not configured: Spin refuses an empty one.
const NO_HOST: &str = "postgres.invalid";

/// The address, as a libpq connection string, of the values of the [`VARIABLES`], a line each.
///
/// ```
/// use hello::store::postgres::address;
///
/// let address = address("db\n5432\nhello\nhello\nit's\nrequire").expect("each is set");
/// assert!(address.ends_with(r"='it\'s' sslmode='require'"));
/// ```
///
/// # Errors
///
/// [`StoreError::Misconfigured`], with the name of the variable that is not set, or if there are not
/// as many lines as variables.
pub fn address(values: &str) -> Result<String, StoreError> {
    let values: Vec<&str> = values.split('\n').collect();
    if values.len() != VARIABLES.len() {
        return Err(StoreError::Misconfigured(
            "a variable `postgres_…` contains a line break".to_owned(),
        ));
    }
    // The role's statement_timeout bounds the server's response, see migrations/.
    let mut address = String::from("connect_timeout=2 tcp_user_timeout=4");
    for ((variable, keyword), value) in VARIABLES.into_iter().zip(values) {
        if value.is_empty() || value == NO_HOST {
            return Err(StoreError::Misconfigured(format!(
                "the variable `{variable}` is not set"
            )));
        }
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        let _ = write!(address, " {keyword}='{value}'");
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values, a line each.
    fn lines(value: impl Fn(&str) -> String) -> String {
        VARIABLES.map(|(variable, _)| value(variable)).join("\n")
    }

    #[test]
    fn an_address_has_every_variable_and_quotes_it() {
        let all = address(&lines(|name| format!("{name} \\ '"))).expect("each is set");
        for (variable, keyword) in VARIABLES {
            let quoted = format!(r" {keyword}='{variable} \\ \''");
            assert!(all.contains(&quoted), "{quoted} in {all}");
        }
        assert!(all.starts_with("connect_timeout=2 tcp_user_timeout=4 host="));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        for (unset, value) in [
            ("postgres_host", "postgres.invalid"),
            ("postgres_password", ""),
        ] {
            let values = lines(|name| if name == unset { value } else { "x" }.to_owned());
            let text = format!("the variable `{unset}` is not set");
            assert_eq!(address(&values), Err(StoreError::Misconfigured(text)));
        }
    }

    #[test]
    fn a_line_break_in_a_value_shifts_no_other_value() {
        let text = "a variable `postgres_…` contains a line break".to_owned();
        let error = Err(StoreError::Misconfigured(text));
        assert_eq!(address(&lines(|_| "x\ny".to_owned())), error);
        assert_eq!(address(""), error);
    }
}
