//! Glob: `*` is any run of characters, `?` exactly one.
//!
//! In: a pattern, a text. Out: whether all of the text is meant. Never: recursion, more than pattern times text steps.

/// Compares bytes; a `\` before a character takes its meaning away.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when the last `*` has to take one byte more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            Some(b'\\') if pattern.get(p + 1) == Some(&text[t]) => {
                (p, t) = (p + 2, t + 1);
                continue;
            }
            Some(byte) if *byte == text[t] && *byte != b'\\' => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            _ => {}
        }
        let Some((after, taken)) = star else { return false };
        star = Some((after, taken + 1));
        (p, t) = (after, taken + 1);
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "A", false),
            ("*", "", true),
            ("*", "anything/at?all", true),
            ("?", "", false),
            ("?", "a", true),
            ("?", "ab", false),
            ("a*b", "ab", true),
            ("a*b", "axxbxb", true),
            ("a*b", "axxbx", false),
            ("a*b*c", "abbc", true),
            ("**a**", "xax", true),
            ("*.jpg", "a.jpg.jpg", true),
            ("a?c*", "abcdef", true),
            (r"\?", "?", true),
            (r"\?", "a", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"a\", "a", false),
            (r"a\", r"a\", false),
            (r"\\", r"\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
        let (pattern, text) = ("*a".repeat(2000), "a".repeat(4000) + "b");
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }
}
