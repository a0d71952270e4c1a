//! Lint: what CloudFront Functions refuses and this engine would run.
//!
//! In: the source of a function. Out: every use of a construct that AWS's runtime does not have, with its place. Never: an opinion
//! about anything else. Source: CloudFront Developer Guide, "JavaScript runtime 1.0 / 2.0 features for CloudFront Functions".

use crate::config::compiled::Flavor;

use super::Diagnosis;

/// Words that neither runtime has.
const ABSENT: [(&str, &str); 2] = [("class", "classes are not supported"), ("yield", "generators are not supported")];
/// What neither runtime has to call. Files may have their own of these names, and ask whether there are any.
const UNCALLABLE: [(&str, &str); 10] = [
    ("eval", "eval is not available"),
    ("Function", "code generation from strings is not available"),
    ("setTimeout", "timers are not available"),
    ("setInterval", "timers are not available"),
    ("setImmediate", "timers are not available"),
    ("clearTimeout", "timers are not available"),
    ("fetch", "there is no network"),
    ("XMLHttpRequest", "there is no network"),
    ("WebAssembly", "WebAssembly is not available"),
    ("Proxy", "Proxy is not supported"),
];
/// What came with runtime 2.0.
const NEW: [(&str, &str); 5] = [
    ("let", "let needs runtime 2.0"),
    ("const", "const needs runtime 2.0"),
    ("async", "async needs runtime 2.0"),
    ("await", "await needs runtime 2.0"),
    ("import", "import needs runtime 2.0"),
];
/// The same, of what is called.
const NEW_NAMES: [(&str, &str); 5] = [
    ("atob", "atob needs runtime 2.0"),
    ("btoa", "btoa needs runtime 2.0"),
    ("Buffer", "Buffer needs runtime 2.0"),
    ("TextEncoder", "TextEncoder needs runtime 2.0"),
    ("TextDecoder", "TextDecoder needs runtime 2.0"),
];
/// Modules `require` and `import` may name.
const MODULES: [&str; 3] = ["crypto", "querystring", "cloudfront"];

/// One word or sign of the source, with its place.
struct Token<'a> {
    text: &'a str,
    kind: Kind,
    at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Text,
    Sign,
}

/// Every construct that AWS would refuse.
pub fn check(file: &str, source: &str, flavor: Flavor) -> Vec<Diagnosis> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        if let Some(message) = judge(&tokens, i, token, flavor) {
            let (line, column) = place(source, token.at);
            found.push(Diagnosis { message, ..Diagnosis::default() }.at(file, line, column, source));
        }
    }
    found
}

fn judge(tokens: &[Token<'_>], i: usize, token: &Token<'_>, flavor: Flavor) -> Option<String> {
    let back = |n: usize| i.checked_sub(n).and_then(|i| tokens.get(i)).map_or("", |token| token.text);
    let next = tokens.get(i + 1).map_or("", |token| token.text);
    match token.kind {
        Kind::Word if back(1) != "." && next != ":" => {
            let old = flavor == Flavor::CloudFront1;
            let asks = (next == "(" || next == "." || back(1) == "new") && back(1) != "function";
            let foreign = |name: &str| asks && name == token.text && !is_method(tokens, i) && !is_own(tokens, name);
            let mut lists = ABSENT
                .iter()
                .chain(NEW.iter().filter(|_| old))
                .chain(NEW_NAMES.iter().filter(|(name, _)| old && foreign(name)))
                .chain(UNCALLABLE.iter().filter(|(name, _)| foreign(name)));
            lists.find(|(name, _)| *name == token.text).map(|(_, why)| (*why).to_owned())
        }
        Kind::Text if back(1) == "from" || (back(1) == "(" && back(2) == "require") => {
            let name = token.text.trim_matches(['\'', '"']);
            (!MODULES.contains(&name)).then(|| format!("there is no module '{name}'"))
        }
        Kind::Sign if token.text == "?." => Some("optional chaining is not supported".to_owned()),
        Kind::Sign if token.text == "??" => Some("nullish coalescing is not supported".to_owned()),
        _ => None,
    }
}

/// Whether the word at `i` names a method of an object literal: a body follows its parameters.
fn is_method(tokens: &[Token<'_>], i: usize) -> bool {
    let mut depth = 0;
    for (n, token) in tokens.iter().enumerate().skip(i + 1) {
        match (token.kind, token.text) {
            (Kind::Sign, "(") => depth += 1,
            (Kind::Sign, ")") => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return n > i + 1 && tokens.get(n + 1).is_some_and(|token| token.text == "{");
        }
    }
    false
}

/// Whether the file declares this name itself.
fn is_own(tokens: &[Token<'_>], name: &str) -> bool {
    let declares = |word: &str| matches!(word, "var" | "let" | "const" | "function" | "import" | "as");
    tokens.windows(2).any(|two| declares(two[0].text) && two[1].text == name)
}

fn place(source: &str, at: usize) -> (u32, u32) {
    let before = &source[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count()) + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// Words, strings and the signs that matter; comments are left out. Template literals are one text: what is within `${}` is not
/// looked at.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let bytes = source.as_bytes();
    let mut out: Vec<Token<'_>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => source[at..].find("*/").map_or(bytes.len(), |n| at + n + 2),
            b'/' if regular(out.last()) => regular_end(bytes, at),
            quote @ (b'\'' | b'"' | b'`') => text_end(bytes, at, quote),
            c if is_word(c) => at + bytes[at..].iter().take_while(|&&c| is_word(c)).count(),
            // `a?.5:b` is a choice.
            b'?' if bytes.get(at + 1) == Some(&b'.') && bytes.get(at + 2).is_some_and(u8::is_ascii_digit) => at + 1,
            b'?' if matches!(bytes.get(at + 1), Some(b'.' | b'?')) => at + 2,
            _ => at + 1,
        };
        let kind = match bytes[at] {
            b'/' => None,
            b'\'' | b'"' | b'`' => Some(Kind::Text),
            c if is_word(c) => Some(Kind::Word),
            c if c.is_ascii_whitespace() || !c.is_ascii() => None,
            _ => Some(Kind::Sign),
        };
        // A `/` that stands for division is a sign that decides nothing.
        let kind = if bytes[at] == b'/' && end == at + 1 { Some(Kind::Sign) } else { kind };
        if let (Some(kind), Some(text)) = (kind, source.get(at..end)) {
            out.push(Token { text, kind, at });
        }
        at = end;
    }
    out
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_' || c == b'$' || c >= 0x80
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|&&c| c != b'\n').count()
}

fn text_end(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != quote {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    (end + 1).min(bytes.len())
}

/// Whether a `/` after this begins a regular expression.
fn regular(before: Option<&Token<'_>>) -> bool {
    match before {
        None => true,
        Some(token) if token.kind == Kind::Word => matches!(token.text, "return" | "typeof" | "case" | "in" | "of"),
        Some(token) if token.kind == Kind::Text => false,
        Some(token) => !matches!(token.text, ")" | "]" | "}"),
    }
}

fn regular_end(bytes: &[u8], at: usize) -> usize {
    let (mut end, mut class) = (at + 1, false);
    while end < bytes.len() && bytes[end] != b'\n' && (class || bytes[end] != b'/') {
        match bytes[end] {
            b'\\' => end += 1,
            b'[' => class = true,
            b']' => class = false,
            _ => {}
        }
        end += 1;
    }
    (end + 1).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Developer Guide, "JavaScript runtime 1.0 features" and "… 2.0 features": each name and sign once, where it is refused and where not.
    #[test]
    fn each_construct_by_runtime() {
        use Flavor::{CloudFront1, CloudFront2};
        let both = [
            ("class A {}", "classes are not supported"),
            ("function* f() { yield 1; }", "generators are not supported"),
            ("eval('1');", "eval is not available"),
            ("new Function('a');", "code generation from strings is not available"),
            ("setTimeout(f, 1);", "timers are not available"),
            ("setInterval(f, 1);", "timers are not available"),
            ("setImmediate(f);", "timers are not available"),
            ("clearTimeout(t);", "timers are not available"),
            ("fetch('a');", "there is no network"),
            ("new XMLHttpRequest();", "there is no network"),
            ("WebAssembly.compile(a);", "WebAssembly is not available"),
            ("new Proxy(a, b);", "Proxy is not supported"),
            ("a?.b;", "optional chaining is not supported"),
            ("a ?? b;", "nullish coalescing is not supported"),
            ("require('fs');", "there is no module 'fs'"),
        ];
        let new = [
            ("let a;", "let needs runtime 2.0"),
            ("const a = 1;", "const needs runtime 2.0"),
            ("async function f() {}", "async needs runtime 2.0"),
            ("await f();", "await needs runtime 2.0"),
            ("import qs from 'querystring';", "import needs runtime 2.0"),
            ("atob(a);", "atob needs runtime 2.0"),
            ("btoa(a);", "btoa needs runtime 2.0"),
            ("Buffer.from(a);", "Buffer needs runtime 2.0"),
            ("new TextEncoder();", "TextEncoder needs runtime 2.0"),
            ("new TextDecoder();", "TextDecoder needs runtime 2.0"),
        ];
        let allowed = [
            "var f = (a, ...b) => a ** 2;",
            "`a${b}`;",
            "Object.assign(a, b); Object.is(a, b); Object.entries(a); Object.values(a);",
            "/(?<year>[0-9]+)/.exec(a).groups.year;",
            "Promise.resolve(1).then(f); new Uint8Array(1);",
            "String.bytesFrom([1]); 'a'.padStart(2); 'a'.codePointAt(0);",
            "require('crypto').createHash('sha256'); require('querystring').parse(a);",
            "console.log(a); var Buffer = a; Buffer.from(a);",
        ];
        let says = |source: &str, flavor| -> Vec<String> {
            check("a.js", source, flavor).into_iter().map(|one| one.message).collect()
        };
        for (source, why) in both {
            assert_eq!(
                (says(source, CloudFront1), says(source, CloudFront2)),
                (vec![why.to_owned()], vec![why.to_owned()])
            );
        }
        for (source, why) in new {
            assert_eq!(
                (says(source, CloudFront1), says(source, CloudFront2)),
                (vec![why.to_owned()], vec![]),
                "{source}"
            );
        }
        for source in allowed {
            assert_eq!((says(source, CloudFront1), says(source, CloudFront2)), (vec![], vec![]), "{source}");
        }
        let names = ABSENT.iter().chain(&UNCALLABLE).chain(&NEW).chain(&NEW_NAMES).map(|(name, _)| *name);
        let tried = |name: &str| {
            both.iter().chain(&new).any(|(source, _)| tokens(source).iter().any(|token| token.text == name))
        };
        assert_eq!(names.filter(|name| !tried(name)).collect::<Vec<_>>(), [""; 0], "each has its row");
    }

    #[test]
    fn what_aws_refuses() {
        for (source, flavor, want) in [
            ("var a = eval('1');", Flavor::CloudFront2, vec!["a.js:1:9: eval is not available"]),
            ("// eval\nvar a = 'eval'; a.eval; /eval/;", Flavor::CloudFront2, vec![]),
            ("\n  setTimeout(f, 1)", Flavor::CloudFront2, vec!["a.js:2:3: timers are not available"]),
            ("const a = 1", Flavor::CloudFront2, vec![]),
            ("const a = 1", Flavor::CloudFront1, vec!["a.js:1:1: const needs runtime 2.0"]),
            (
                "import cf from 'cloudfront'; import x from \"fs\"",
                Flavor::CloudFront2,
                vec!["a.js:1:44: there is no module 'fs'"],
            ),
            ("a?.b; a ? .5 : 1", Flavor::CloudFront2, vec!["a.js:1:2: optional chaining is not supported"]),
            ("var x = a / b; class B {}", Flavor::CloudFront2, vec!["a.js:1:16: classes are not supported"]),
            ("var o = { class: 1 }; o.class", Flavor::CloudFront2, vec![]),
            ("var a = b?.5:1;", Flavor::CloudFront2, vec![]),
            ("if (x instanceof Function && typeof fetch === 'function') {}", Flavor::CloudFront2, vec![]),
            ("var o = { fetch() { return 1; }, eval(a, b) {} };", Flavor::CloudFront2, vec![]),
            ("function fetch(a) { return a; } fetch((1)); var Proxy = 1; new Proxy();", Flavor::CloudFront2, vec![]),
            ("new Function('a')", Flavor::CloudFront2, vec!["a.js:1:5: code generation from strings is not available"]),
            ("x = Function('a')", Flavor::CloudFront2, vec!["a.js:1:5: code generation from strings is not available"]),
            ("if (eval('1')) { }", Flavor::CloudFront2, vec!["a.js:1:5: eval is not available"]),
            ("fetch('a').then(f)", Flavor::CloudFront2, vec!["a.js:1:1: there is no network"]),
            ("function* f() { yield 1; }", Flavor::CloudFront2, vec!["a.js:1:17: generators are not supported"]),
        ] {
            let found: Vec<String> = check("a.js", source, flavor)
                .iter()
                .map(|one| one.to_string().lines().next().unwrap_or_default().to_owned())
                .collect();
            assert_eq!(found, want, "{source}");
        }
    }
}
