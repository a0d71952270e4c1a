//! Page: HTML in, HTML out, tag by tag. Text, comments, scripts and whatever is malformed stay byte for byte.

/// Elements whose content is no markup (HTML Living Standard §13.1.2: raw text and escapable raw text).
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

pub fn rewrite(page: &str, banner: &str) -> String {
    let mut out = String::with_capacity(page.len() + banner.len() + 1024);
    let mut rest = page;
    let mut banner = Some(banner);
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(length) = length(rest) else { break };
        let (markup, after) = rest.split_at(length);
        rest = after;

        let name = name(markup);
        tag(markup, name, &mut out);
        if name.eq_ignore_ascii_case("body") {
            out.push_str(banner.take().unwrap_or_default());
        }
        if RAW.iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
            let end = closing(rest, name);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    out
}

/// Length of the comment, tag or lone `<` that `text` begins with; `None` when it does not end.
fn length(text: &str) -> Option<usize> {
    if text.starts_with("<!--") {
        return Some(text.find("-->")? + 3);
    }
    if !text[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')) {
        return Some(1);
    }
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match quote {
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None if byte == b'>' => return Some(at + 1),
            None => {}
        }
    }
    None
}

/// Name of an opening tag; "" of anything else.
fn name(markup: &str) -> &str {
    let name = &markup[1..];
    &name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())]
}

/// Where the closing tag of a raw element begins.
fn closing(text: &str, name: &str) -> usize {
    let is_closing = |at: &usize| {
        text.get(at + 2..at + 2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name))
    };
    text.match_indices("</").map(|(at, _)| at).find(is_closing).unwrap_or(text.len())
}

fn tag(markup: &str, name: &str, out: &mut String) {
    if name.is_empty() {
        return out.push_str(markup);
    }
    let mut rest = markup;
    // Attributes that name a resource, quoted.
    while let Some(at) = rest.find("=\"http://").or_else(|| rest.find("='http://")) {
        let (before, after) = rest.split_at(at + 2);
        out.push_str(before);
        let resource = ["href", "src", "action", "poster"].iter().any(|key| before[..at].ends_with(&[" ", key].concat()));
        out.push_str(if resource { "https://" } else { "http://" });
        rest = &after["http://".len()..];
    }
    let lazy = name.eq_ignore_ascii_case("img") && !markup.contains(" loading=");
    match rest.strip_suffix("/>").or_else(|| rest.strip_suffix('>')) {
        Some(body) if lazy => {
            out.push_str(body.trim_end());
            out.push_str(" loading=\"lazy\">");
        }
        _ => out.push_str(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::rewrite;

    #[test]
    fn tags_change_and_nothing_else_does() {
        for (page, want) in [
            ("<p>1 < 2</p>", "<p>1 < 2</p>"),
            ("<body class=x><p>", "<body class=x>[B]<p>"),
            ("<BODY>a<body>b", "<BODY>[B]a<body>b"),
            ("<img src=\"http://a/b\">", "<img src=\"https://a/b\" loading=\"lazy\">"),
            ("<img src='x' />", "<img src='x' loading=\"lazy\">"),
            ("<img loading=\"eager\" src=x>", "<img loading=\"eager\" src=x>"),
            ("<a title=\"a>b\" href=\"http://a\">", "<a title=\"a>b\" href=\"https://a\">"),
            ("<a title=\"http://a\">", "<a title=\"http://a\">"),
            ("<!-- <body> <img> -->", "<!-- <body> <img> -->"),
            ("<script>'<img src=\"http://a\">'</script><img>", "<script>'<img src=\"http://a\">'</script><img loading=\"lazy\">"),
            ("<style>a{}", "<style>a{}"),
            ("<img src=\"unclosed", "<img src=\"unclosed"),
            ("<", "<"),
            ("é<é>", "é<é>"),
        ] {
            assert_eq!(rewrite(page, "[B]"), want, "{page}");
        }
    }
}
