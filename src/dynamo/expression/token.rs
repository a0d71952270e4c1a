//! Token: the parts of an expression.
//!
//! In: text. Out: names, values and signs. Never: their meaning.

/// One part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// An attribute, a `#placeholder`, a function or a keyword.
    Name(&'a str),
    /// `:placeholder`
    Value(&'a str),
    /// Digits.
    Number(&'a str),
    /// `<`, `<=`, `<>`, `>`, `>=`; a `=` of its own is a sign.
    Compare(&'a str),
    Sign(char),
}

/// The parts of `text`, in order; white space is none.
pub fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let end = match first {
            '#' | ':' => 1 + rest[1..].find(|c| !word(c)).unwrap_or(rest.len() - 1),
            '<' | '>' if rest[1..].starts_with(['=', '>']) => 2,
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        rest = after;
        Some(match first {
            ':' => Token::Value(token),
            '<' | '>' => Token::Compare(token),
            c if c.is_ascii_digit() => Token::Number(token),
            c if word(c) || c == '#' => Token::Name(token),
            c => Token::Sign(c),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        use Token::{Compare, Name, Number, Sign, Value};
        assert_eq!(
            tokens(" #a.b[12]<>:v_1 <= é").collect::<Vec<_>>(),
            [
                Name("#a"),
                Sign('.'),
                Name("b"),
                Sign('['),
                Number("12"),
                Sign(']'),
                Compare("<>"),
                Value(":v_1"),
                Compare("<="),
                Name("é"),
            ]
        );
        assert_eq!(tokens("  ").next(), None);
        assert_eq!(tokens("#").collect::<Vec<_>>(), [Name("#")]);
    }
}
