//! PartiQL: what a statement does, and to which table.
//!
//! In: a statement. Out: its verb, table and index. Never: the rest of it: the engine knows the grammar.

use super::capacity::Side;

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub verb: Verb,
    pub table: String,
    pub index: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Select,
    Insert,
    Update,
    Delete,
    /// `EXISTS(SELECT …)` of a transaction.
    Check,
}

/// Reads as much of `statement` as says so; `None` when it does not begin like any of these, or its table cannot be told: it
/// may then be a write of any table.
pub fn about(statement: &str) -> Option<About> {
    let mut words = Words { rest: statement };
    let verb = match words.next()?.to_ascii_uppercase().as_str() {
        "SELECT" => Verb::Select,
        "INSERT" => Verb::Insert,
        "UPDATE" => Verb::Update,
        "DELETE" => Verb::Delete,
        "EXISTS" => Verb::Check,
        _ => return None,
    };
    match verb {
        Verb::Update => {}
        Verb::Insert => words.expect("INTO")?,
        Verb::Delete => words.expect("FROM")?,
        Verb::Select | Verb::Check => {
            // Strings and quoted names are words of their own, so that no FROM inside them is met.
            while !words.next()?.eq_ignore_ascii_case("FROM") {}
        }
    }
    let table = name(words.next()?)?;
    let mut ahead = Words { rest: words.rest };
    let index = match ahead.next() {
        Some(".") => Some(name(ahead.next()?)?),
        _ => None,
    };
    Some(About { verb, table, index })
}

/// A name with or without its double quotes.
fn name(word: &str) -> Option<String> {
    match word.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').map(|inner| inner.replace("\"\"", "\"")),
        None if word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') => Some(word.to_owned()),
        None => None,
    }
}

/// Words, quoted names, strings, numbers and signs, as the engine takes them apart; comments are space.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.rest = past_space(self.rest)?;
        let first = self.rest.chars().next()?;
        let run = |other: fn(char) -> bool| self.rest.find(other).unwrap_or(self.rest.len());
        let end = match first {
            '"' | '\'' => quoted(self.rest, first)?,
            // What Ion has in it is nobody's name.
            '`' => self.rest.get(1..)?.find('`')? + 2,
            // A number ends where its digits do: a word may follow at once.
            '0'..='9' => run(|c| !c.is_ascii_digit()),
            'a'..='z' | 'A'..='Z' | '_' => run(|c| !(c.is_ascii_alphanumeric() || c == '_')),
            // No sign of the grammar.
            '#' => return None,
            c => c.len_utf8(),
        };
        let (found, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(found)
    }

    fn expect(&mut self, word: &str) -> Option<()> {
        self.next()?.eq_ignore_ascii_case(word).then_some(())
    }
}

/// What follows spaces and comments (`--` to the end of the line, `/*` to `*/`); `None` when a comment does not end.
fn past_space(mut text: &str) -> Option<&str> {
    loop {
        text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
        text = if text.starts_with("--") {
            text.find('\n').and_then(|end| text.get(end..)).unwrap_or_default()
        } else if let Some(comment) = text.strip_prefix("/*") {
            comment.get(comment.find("*/")? + 2..)?
        } else {
            return Some(text);
        };
    }
}

/// Where what begins with `quote` ends; a doubled quote is part of it.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text.get(at..)?.find(quote)? + 1;
        if !text.get(at..)?.starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

// === impl Verb ===
impl Verb {
    /// What policies call it.
    pub fn action(self) -> &'static str {
        match self {
            Verb::Select => "dynamodb:PartiQLSelect",
            Verb::Insert => "dynamodb:PartiQLInsert",
            Verb::Update => "dynamodb:PartiQLUpdate",
            Verb::Delete => "dynamodb:PartiQLDelete",
            Verb::Check => "dynamodb:ConditionCheckItem",
        }
    }

    pub fn side(self) -> Side {
        if self == Verb::Select { Side::Read } else { Side::Write }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements() {
        for (statement, want) in [
            (r#"SELECT * FROM "todo" WHERE pk = 'FROM x'"#, Some((Verb::Select, "todo", None))),
            (r#"select a, "FROM", 'it''s FROM' from todo"#, Some((Verb::Select, "todo", None))),
            (r#"SELECT * FROM "todo"."by-owner" WHERE a = ?"#, Some((Verb::Select, "todo", Some("by-owner")))),
            (r#"SELECT * FROM todo . idx"#, Some((Verb::Select, "todo", Some("idx")))),
            (r#"SELECT a[1FROM "t""#, Some((Verb::Select, "t", None))),
            (r#"INSERT INTO "my-table" VALUE {'pk': 'x'}"#, Some((Verb::Insert, "my-table", None))),
            (r#" UPDATE "t" SET a = 1 WHERE pk = 'x'"#, Some((Verb::Update, "t", None))),
            (r#"DELETE FROM t WHERE pk = 'x'"#, Some((Verb::Delete, "t", None))),
            (r#"EXISTS(SELECT * FROM "t" WHERE pk = 'x')"#, Some((Verb::Check, "t", None))),
            (r#"SELECT * FROM "unclosed"#, None),
            ("SELECT a", None),
            ("DROP TABLE t", None),
            ("INSERT t", None),
            ("", None),
        ] {
            let found = about(statement);
            let found = found.as_ref().map(|about| (about.verb, about.table.as_str(), about.index.as_deref()));
            assert_eq!(found, want, "{statement}");
        }
    }

    #[test]
    fn comments_do_not_hide_what_a_statement_does() {
        for (statement, want) in [
            (r#"SELECT /* FROM "public" */ * FROM "secret""#, Some((Verb::Select, "secret"))),
            ("SELECT -- FROM \"public\"\n * FROM \"secret\"", Some((Verb::Select, "secret"))),
            (r#"/**/DELETE FROM "secret" WHERE pk='1'"#, Some((Verb::Delete, "secret"))),
            ("--\nUPDATE/*a*//*b*/\"secret\" SET a = 1", Some((Verb::Update, "secret"))),
            ("SELECT * FROM--x\n\"secret\" WHERE a = 'FROM \"public\"'", Some((Verb::Select, "secret"))),
            (r#"SELECT '/*', "--", `/* FROM "public"` FROM "secret" -- */"#, Some((Verb::Select, "secret"))),
            (r#"SELECT * FROM /*/ "public" */ "secret""#, Some((Verb::Select, "secret"))),
            (r#"SELECT * FROM /*/ "public""#, None),
            (r#"SELECT # FROM "public""#, None),
            (r#"SELECT ` FROM "public""#, None),
            ("-- SELECT * FROM t", None),
        ] {
            let found = about(statement);
            assert_eq!(found.as_ref().map(|about| (about.verb, about.table.as_str())), want, "{statement}");
        }
    }
}
