//! Tokens: what becomes of one that has let in.
//!
//! In: tokens in every place that an issuer names. Out: what origin, cache and log get to see. Never: which tokens let in (`access`).

use serde_json::json;

use crate::access::{claims, with_issuer};
use crate::harness::credentials::{Mint, sha256};
use crate::harness::{Origin, until};

const KEY: &str = "tokens-key-0123456789abcdef";
const FROM: &str = "from = [\"cookie:session\", \"query:token\", \"header:authorization\"]\n";

/// What a token says keeps answers apart wherever it stands in an `all`: the origin that gets it can read all of it.
#[test]
fn claims_keep_answers_apart_beside_an_api_key() {
    let mint = Mint::new("k1");
    let origin = Origin::start(|x| {
        let body = x.field("authorization").unwrap_or_default().to_owned();
        x.reply("200 OK", "Cache-Control: public, max-age=60\r\n", body);
    });
    for rule in ["[\"api_key\", { jwt = \"pool\" }]", "[{ jwt = \"pool\" }, \"api_key\"]"] {
        let behavior = format!("access = {{ all = {rule} }}\nforward = {{ headers = [\"authorization\"] }}");
        let key = format!("[[api_key]]\nname = \"acme\"\nsha256 = \"{}\"\n", sha256(KEY));
        let pop = with_issuer(&origin, &mint, &key, &behavior);
        let get = |group: &str| {
            let mut claims = claims("alice");
            claims["cognito:groups"] = json!([group]);
            let token = format!("Bearer {}", mint.token(claims));
            pop.get_with("/a", &[("X-Api-Key", KEY), ("Authorization", &token)])
        };
        let (admins, users, again) = (get("admins"), get("users"), get("admins"));
        assert_eq!((admins.status, users.status), (200, 200), "{rule}");
        assert!(!users.hit() && users.body != admins.body, "{rule}");
        assert!(again.hit() && again.body == admins.body, "{rule}");
    }
}

#[test]
fn a_token_is_taken_from_where_it_was_and_nowhere_else() {
    let (origin, mint) = (Origin::counting("Cache-Control: max-age=60\r\n"), Mint::new("k"));
    let forward =
        "access = { jwt = \"pool\" }\nforward = { headers = [\"authorization\"], query = \"all\", cookies = \"all\" }";
    let token = mint.token(claims("ana"));
    let (bearer, session) = (format!("Bearer {token}"), format!("session={token}"));
    for (what, path, fields, target, authorization) in [
        ("query", format!("/q?a=1&token={token}&b=2"), &[][..], "/q?a=1&b=2", None),
        ("query, spelled otherwise", format!("/e?t%6Fken={token}"), &[], "/e", None),
        ("query alone", format!("/q?token={token}"), &[], "/q", None),
        ("header", "/h?token=".to_owned(), &[("Authorization", bearer.as_str())], "/h?token=", Some(bearer.as_str())),
        (
            "cookie",
            "/c".to_owned(),
            &[("Cookie", session.as_str()), ("Authorization", "Basic b3JpZ2luOnM=")],
            "/c",
            Some("Basic b3JpZ2luOnM="),
        ),
    ] {
        for cached in [false, true] {
            let pop = with_issuer(&origin, &mint, FROM, &format!("{forward}\ncache = {cached}"));
            let asked = origin.count();
            for _ in 0..2 {
                assert_eq!(pop.get_with(&path, fields).status, 200, "{what}");
            }
            let seen = origin.last();
            assert_eq!((seen.target.as_str(), seen.field("authorization")), (target, authorization), "{what} {cached}");
            // An answer to somebody else's Authorization is not kept; one to a token that the edge has used is.
            let kept = cached && what != "cookie";
            assert_eq!(origin.count() - asked, if kept { 1 } else { 2 }, "{what} {cached}");
            let lines = until("both lines", || Some(pop.access_lines()).filter(|lines| lines.len() == 2));
            assert!(lines.iter().all(|line| !line.contains(&token)), "{what} {cached}: {lines:?}");
        }
    }
}

/// The origin could go by the one that nobody verified. None of them is written down.
#[test]
fn different_tokens_in_two_places_let_nobody_in() {
    let (origin, mint) = (Origin::counting(""), Mint::new("k"));
    let pop =
        with_issuer(&origin, &mint, FROM, "access = { jwt = \"pool\" }\nforward = { query = \"all\" }\ncache = false");
    let (ana, bob) = (mint.token(claims("ana")), mint.token(claims("bob")));
    let session = format!("session={ana}");
    for (token, want) in [(&bob, 401), (&ana, 200)] {
        let reply = pop.get_with(&format!("/a?token={token}"), &[("Cookie", &session)]);
        assert_eq!(reply.status, want, "{}", reply.text());
    }
    // A page that was asked for with a token is where the next request comes from.
    let page = format!("https://shop.example/page?a=1&token={ana}");
    assert_eq!(pop.get_with("/b", &[("Cookie", &session), ("Referer", &page)]).status, 200);
    let lines = until("all lines", || Some(pop.access_lines()).filter(|lines| lines.len() == 3));
    assert!(lines.iter().all(|line| !line.contains(&ana) && !line.contains(&bob)), "{lines:?}");
    // Each worker writes its own lines, so they are not in the order of the requests.
    assert!(lines.iter().any(|line| line.contains("https://shop.example/page?a=1\"")), "{lines:?}");
}

#[test]
fn whoever_has_a_name_in_another_script_is_told_to_the_origin() {
    let (origin, mint) = (Origin::counting(""), Mint::new("k"));
    let pop = with_issuer(
        &origin,
        &mint,
        "principal_claim = \"name\"\n",
        "access = { jwt = \"pool\" }\nidentity = { header = \"x-user\" }\ncache = false",
    );
    let mut claims = claims("u1");
    claims["name"] = json!("J\u{fc}rgen");
    let fields = [("Authorization", format!("Bearer {}", mint.token(claims)))];
    assert_eq!(pop.get_with("/a", &[("Authorization", fields[0].1.as_str())]).status, 200);
    assert_eq!(origin.last().field("x-user"), Some("J\u{fc}rgen"));
}

/// Without the field, the origin would take it for a request of nobody.
#[test]
fn whoever_cannot_be_told_to_the_origin_is_not_let_in() {
    let (origin, mint) = (Origin::counting(""), Mint::new("k"));
    for (identity, claim) in [("header = \"x-user\"", "sub"), ("claims = { x-team = \"team\" }", "team")] {
        let behavior = format!("access = {{ jwt = \"pool\" }}\nidentity = {{ {identity} }}\ncache = false");
        let pop = with_issuer(&origin, &mint, "", &behavior);
        for name in ["a\r\nx-evil: 1", "a\nb", "\u{0}", " admin", "admin\t"] {
            let mut claims = claims("u1");
            claims[claim] = json!(name);
            let token = format!("Bearer {}", mint.token(claims));
            assert_eq!(pop.get_with("/a", &[("Authorization", &token)]).status, 403, "{claim} {name:?}");
        }
        assert!(pop.access_lines().iter().all(|line| line.contains("control characters")));
    }
    assert_eq!(origin.count(), 0);
}
