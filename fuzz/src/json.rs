//! JSON by the grammar of RFC 8259, without serde: the members of an object.

/// A value of a member, as far as a PUT cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string, without its escapes.
    Text(String),
    /// A literal: `true`, `false`, `null`.
    Literal,
    /// A number, an array or an object.
    Other,
}

/// The members of `text` in their order, or `None` if it is not one JSON object.
///
/// A name, and the string in a member `wanted`, must be Unicode: an escaped surrogate without its other
/// half is none. Elsewhere the grammar alone counts, as for whatever is ignored.
#[must_use]
pub fn members(text: &[u8], wanted: &str) -> Option<Vec<(String, Value)>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parser = Parser(text.as_bytes());
    parser.space();
    let mut members = Vec::new();
    parser.object(|parser| {
        let name = decode(parser.string()?)?;
        parser.colon()?;
        let value = match parser.0.first()? {
            b'"' => {
                let raw = parser.string()?;
                if name == wanted {
                    Value::Text(decode(raw)?)
                } else {
                    Value::Other
                }
            }
            b't' | b'f' | b'n' => parser.value().map(|()| Value::Literal)?,
            _ => parser.value().map(|()| Value::Other)?,
        };
        members.push((name, value));
        Some(())
    })?;
    parser.space();
    parser.0.is_empty().then_some(members)
}

/// What is left of a text. A method takes what it is named after off its front, or gives `None`.
struct Parser<'a>(&'a [u8]);

impl<'a> Parser<'a> {
    fn space(&mut self) {
        let is_space = |byte: &u8| b" \t\n\r".contains(byte);
        let length = self.0.iter().take_while(|byte| is_space(byte)).count();
        self.0 = &self.0[length..];
    }

    fn token(&mut self, token: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(token)?;
        Some(())
    }

    fn colon(&mut self) -> Option<()> {
        self.space();
        self.token(b":")?;
        self.space();
        Some(())
    }

    fn list(
        &mut self,
        [open, close]: [&[u8]; 2],
        mut item: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.token(open)?;
        self.space();
        if self.token(close).is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            self.space();
            if self.token(close).is_some() {
                return Some(());
            }
            self.token(b",")?;
            self.space();
        }
    }

    fn object(&mut self, member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.list([b"{", b"}"], member)
    }

    fn value(&mut self) -> Option<()> {
        match self.0.first()? {
            b'{' => self.object(|it| {
                it.string()?;
                it.colon()?;
                it.value()
            }),
            b'[' => self.list([b"[", b"]"], Self::value),
            b'"' => self.string().map(drop),
            b't' => self.token(b"true"),
            b'f' => self.token(b"false"),
            b'n' => self.token(b"null"),
            _ => self.number(),
        }
    }

    fn digits(&mut self) -> Option<usize> {
        let length = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.0 = &self.0[length..];
        (length > 0).then_some(length)
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.token(b"-");
        let starts_with_zero = self.0.first() == Some(&b'0');
        if self.digits()? > 1 && starts_with_zero {
            return None;
        }
        if self.token(b".").is_some() {
            self.digits()?;
        }
        if self.token(b"e").or_else(|| self.token(b"E")).is_some() {
            let _ = self.token(b"+").or_else(|| self.token(b"-"));
            self.digits()?;
        }
        Some(())
    }

    /// What is between the quotes, with its escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.token(b"\"")?;
        let text = self.0;
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            match first {
                b'"' => return Some(&text[..text.len() - rest.len() - 1]),
                b'\\' => {
                    let (escaped, rest) = rest.split_first()?;
                    self.0 = rest;
                    match escaped {
                        b'u' => {
                            hexadecimal(rest)?;
                            self.0 = &rest[4..];
                        }
                        escaped if b"\"\\/bfnrt".contains(escaped) => {}
                        _ => return None,
                    }
                }
                0..0x20 => return None,
                _ => {}
            }
        }
    }
}

/// The number in the first four digits.
fn hexadecimal(text: &[u8]) -> Option<u16> {
    let digits = text.get(..4)?;
    digits.iter().try_fold(0, |sum, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(sum * 16 + u16::try_from(digit).ok()?)
    })
}

/// A string without its escapes; `None` if it is not Unicode.
fn decode(raw: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::new();
    let mut rest = std::str::from_utf8(raw).ok()?;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        if first != '\\' {
            units.extend(first.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let escaped = rest.chars().next()?;
        rest = &rest[escaped.len_utf8()..];
        units.push(match escaped {
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let unit = hexadecimal(rest.as_bytes())?;
                rest = &rest[4..];
                unit
            }
            other => u16::try_from(u32::from(other)).ok()?,
        });
    }
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Option<Vec<String>> {
        let members = members(text.as_bytes(), "x")?;
        Some(members.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn takes_what_the_grammar_allows() {
        for text in [
            "{}",
            " {\n}\t\r ",
            r#"{"a":[],"a":{"b":[1,-0,1.5e+7,0E-1]},"\u0061":"\ud83c\udf82\"\\\/\b\f\n\r\t"}"#,
            r#"{"a":"\ud83c"}"#,
            r#"{"a":true,"b":false,"c":null}"#,
        ] {
            assert!(names(text).is_some(), "{text}");
        }
        assert_eq!(
            names(r#"{"\u0078\ud83c\udf82":1}"#),
            Some(vec!["x\u{1f382}".to_owned()])
        );
    }

    #[test]
    fn refuses_what_it_does_not() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{}{}",
            "{},",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r"{'a':1}",
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            r#"{"a":+1}"#,
            r#"{"a":1e}"#,
            r#"{"a":-}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":True}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12"}"#,
            "{\"a\":\"\n\"}",
            "\u{feff}{}",
            r#"{"\ud83c":1}"#,
            r#"{"x":"\ud83c"}"#,
            "{\u{a0}}",
        ] {
            assert_eq!(names(text), None, "{text}");
        }
        assert_eq!(members(b"{\"a\":\"\xff\"}", "x"), None);
    }
}
