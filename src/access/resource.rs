//! Resource: what policies call a request.
//!
//! In: a template of the configuration, what is asked. Out: the resource's name, mostly an ARN. Never: a `$name` within what was asked
//! taken for one of the template.

/// Stage in the name of a request whose behavior has none.
const NO_STAGE: &str = "default";

/// What a template's names stand for.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Of the signature; `None` = `$region` stays as it is.
    pub region: Option<&'a str>,
    /// The behavior's; "" = none.
    pub stage: &'a str,
    pub method: &'a str,
    pub path: &'a str,
}

/// The template with `$region`, `$stage`, `$method` and `$path` (without its first "/") filled in.
pub fn named(template: &str, parts: Parts<'_>) -> String {
    let path = parts.path.strip_prefix('/').unwrap_or(parts.path);
    let stage = if parts.stage.is_empty() { NO_STAGE } else { parts.stage };
    let names =
        [("region", parts.region), ("stage", Some(stage)), ("method", Some(parts.method)), ("path", Some(path))];
    let mut pieces = template.split('$');
    let mut out = String::with_capacity(template.len() + path.len() + 16);
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let known = names.iter().find_map(|(name, value)| Some((piece.strip_prefix(name)?, (*value)?)));
        let (rest, value) = known.unwrap_or((piece, "$"));
        out.push_str(value);
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_once() {
        let parts = Parts { region: Some("eu-west-1"), stage: "prod", method: "GET", path: "/a/b" };
        for (template, parts, want) in [
            ("arn:$region:x/$stage/$method/$path", parts, "arn:eu-west-1:x/prod/GET/a/b"),
            ("$path$path", parts, "a/ba/b"),
            ("$methods $other $", parts, "GETs $other $"),
            ("no names", parts, "no names"),
            ("", parts, ""),
            ("$stage/$region", Parts { region: None, stage: "", ..parts }, "default/$region"),
            // What is asked is no template.
            ("$method/$path", Parts { method: "$path", path: "/$stage$method", ..parts }, "$path/$stage$method"),
        ] {
            assert_eq!(named(template, parts), want, "{template}");
        }
    }
}
