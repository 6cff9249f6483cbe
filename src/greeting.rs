//! The greeting.

use crate::username::Username;

/// The greeting for `username`, whose next birthday is in `days` days.
///
/// ```
/// use hello::{greeting::greeting, username::Username};
///
/// let ada = Username::parse(b"Ada").expect("a username");
/// assert_eq!(greeting(&ada, 0), "Hello, Ada! Happy birthday!");
/// assert_eq!(greeting(&ada, 5), "Hello, Ada! Your birthday is in 5 day(s)");
/// ```
#[must_use]
pub fn greeting(username: &Username, days: u16) -> String {
    match days {
        0 => format!("Hello, {username}! Happy birthday!"),
        _ => format!("Hello, {username}! Your birthday is in {days} day(s)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_days_or_congratulates() {
        let ada = Username::parse(b"Ada").expect("a username");
        assert_eq!(greeting(&ada, 0), "Hello, Ada! Happy birthday!");
        assert_eq!(
            greeting(&ada, 1),
            "Hello, Ada! Your birthday is in 1 day(s)"
        );
        assert_eq!(
            greeting(&ada, 365),
            "Hello, Ada! Your birthday is in 365 day(s)"
        );
    }
}
