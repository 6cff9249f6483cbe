//! A username: 1 to 64 ASCII letters, case-sensitive.

use std::fmt;

/// The longest username, in letters.
pub const MAX_LEN: usize = 64;

/// Proof that a text is a username: 1 to [`MAX_LEN`] ASCII letters, as the client spelt them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Username(String);

/// Why a text is not a username.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsernameError {
    /// It has no letter or more than [`MAX_LEN`].
    Length,
    /// Something in it is not an ASCII letter.
    NotLetters,
}

impl Username {
    /// Takes the username out of `text`, which is already percent-decoded.
    ///
    /// # Errors
    ///
    /// [`UsernameError`], which never holds the text itself.
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
            Self::Length => "the username must have 1 to 64 letters",
            Self::NotLetters => "the username may hold only the letters A-Z and a-z",
        })
    }
}

impl std::error::Error for UsernameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_either_case_are_kept_as_they_are() {
        for text in ["a", "Z", "AdaLovelace", &"x".repeat(64)] {
            let username = Username::parse(text.as_bytes()).expect("a username");
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
            "the username must have 1 to 64 letters"
        );
        assert_eq!(
            UsernameError::NotLetters.to_string(),
            "the username may hold only the letters A-Z and a-z"
        );
    }
}
