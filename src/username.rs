//! A username: 1 to 64 ASCII letters, case-sensitive.

use std::fmt;

/// The longest username, in letters.
pub const MAX_LEN: usize = 64;

/// A valid username: 1 to [`MAX_LEN`] ASCII letters, in the case that the client sent.
///
/// ```
/// use hello::username::{Username, UsernameError};
///
/// let ada = Username::parse(b"Ada").expect("a username");
/// assert_eq!(ada.as_str(), "Ada");
/// assert_eq!(Username::parse(b"Ada1"), Err(UsernameError::NotLetters));
/// assert_eq!(Username::parse(b""), Err(UsernameError::Length));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Username(String);

/// Why a text is not a valid username.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsernameError {
    /// It is empty, or longer than [`MAX_LEN`].
    Length,
    /// It contains something other than ASCII letters.
    NotLetters,
}

impl Username {
    /// Parses `text`, which is already percent-decoded.
    ///
    /// # Errors
    ///
    /// [`UsernameError`], which never contains the text.
    pub fn parse(text: &[u8]) -> Result<Self, UsernameError> {
        if !text.iter().all(u8::is_ascii_alphabetic) {
            return Err(UsernameError::NotLetters);
        }
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(UsernameError::Length);
        }
        Ok(Self(text.iter().copied().map(char::from).collect()))
    }

    /// The letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UsernameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "username must be 1 to 64 letters long",
            Self::NotLetters => "username must contain only the letters A-Z and a-z",
        })
    }
}

impl std::error::Error for UsernameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_keep_their_case() {
        for text in ["a", "Z", "AdaLovelace", &"x".repeat(64)] {
            let username = Username::parse(text.as_bytes()).expect("a username");
            assert_eq!(username.as_str(), text);
            assert_eq!(username.to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        use UsernameError::{Length, NotLetters};
        let too_long = "x".repeat(65);
        for (text, error) in [
            ("", Length),
            (too_long.as_str(), Length),
            ("ada1", NotLetters),
            ("ada lovelace", NotLetters),
            ("ada\0", NotLetters),
            ("ådå", NotLetters),
            ("а", NotLetters), // Cyrillic
            ("ada/bob", NotLetters),
            ("..", NotLetters),
        ] {
            assert_eq!(Username::parse(text.as_bytes()), Err(error), "{text:?}");
        }
    }

    #[test]
    fn errors_say_what_is_expected() {
        assert_eq!(
            UsernameError::Length.to_string(),
            "username must be 1 to 64 letters long"
        );
        assert_eq!(
            UsernameError::NotLetters.to_string(),
            "username must contain only the letters A-Z and a-z"
        );
    }
}
