//! Binary: which media types a REST API treats as binary.
//!
//! In: `binaryMediaTypes`, a media type. Out: whether it is one of them. Never: a guess from the bytes.

/// `kind` is lower case, without parameters. `*/*` is everything.
pub fn lists(types: &[String], kind: &str) -> bool {
    types.iter().any(|listed| match listed.strip_suffix("/*") {
        Some("*") => true,
        Some(class) => kind.split('/').next() == Some(class),
        None => listed == kind,
    })
}

/// The first media type of an `Accept` field: the only one that API Gateway looks at.
pub fn first_accepted(accept: Option<&str>) -> String {
    let first = accept.unwrap_or_default().split(',').next().unwrap_or_default();
    first.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_listed_whole_by_class_or_all() {
        let types = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        for (list, kind, expected) in [
            (&["image/png"][..], "image/png", true),
            (&["image/png"], "image/jpeg", false),
            (&["image/*"], "image/jpeg", true),
            (&["image/*"], "imagery/jpeg", false),
            (&["*/*"], "", true),
            (&[], "image/png", false),
        ] {
            assert_eq!(lists(&types(list), kind), expected, "{list:?} {kind}");
        }
        assert_eq!(first_accepted(Some("Image/PNG;q=0.5, text/html")), "image/png");
        assert_eq!(first_accepted(None), "");
    }
}
