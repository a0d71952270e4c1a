//! Access: who may come in, what they are told who may not, and what the cache keeps apart.
//!
//! In: credentials made as clients make them. Out: what viewer, origin and log see. Never: the rules' own edge cases (tests beside
//! the code hold them).

use serde_json::{Value, json};

use crate::harness::credentials::Mint;
use crate::harness::{Authority, H2, HOST, Origin, Pop, Raw, Setup, until};

const ISSUER: &str = "https://issuer.example/pool";

/// A PoP with one behavior; `guards` are tables, `behavior` lines of the behavior. `{dir}` is the directory.
pub fn pop(origin: &Origin, guards: &str, behavior: &str) -> Setup {
    let mut setup = Setup::new("");
    setup.rest = format!(
        "{}{guards}\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nmethods = \"all\"\n{behavior}\n",
        origin.config("o")
    );
    setup
}

/// One issuer whose keys are in a file.
pub fn with_issuer(origin: &Origin, mint: &Mint, issuer: &str, behavior: &str) -> Pop {
    let setup = pop(
        origin,
        &format!(
            "[[jwt]]\nname = \"pool\"\nissuer = \"{ISSUER}\"\njwks = \"file:{{dir}}/jwks.json\"\naudience = [\"web\"]\n\
             algorithms = [\"ES256\"]\n{issuer}"
        ),
        behavior,
    );
    std::fs::write(setup.dir().join("jwks.json"), Mint::jwks(&[mint])).unwrap();
    setup.start()
}

pub fn claims(sub: &str) -> Value {
    json!({"iss": ISSUER, "aud": "web", "sub": sub, "scope": "read write", "cognito:groups": ["admins"], "tenant": "t1"})
}

fn bearer(mint: &Mint, claims: Value) -> String {
    format!("Bearer {}", mint.token(claims))
}

#[test]
fn a_token_lets_in_and_names_who_asks() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let mint = Mint::new("k1");
    let behavior = "access = { jwt = { issuer = \"pool\", scopes = [\"read\"], groups = [\"admins\"] } }\n\
                    identity = { header = \"x-user\", claims = { x-tenant = \"tenant\" } }";
    let pop = with_issuer(&origin, &mint, "", behavior);
    let token = bearer(&mint, claims("alice"));
    let reply = pop.get_with("/a", &[("Authorization", &token), ("X-User", "root"), ("X-Tenant", "t2")]);
    assert_eq!(reply.status, 200);
    let seen = origin.last();
    assert_eq!((seen.field("x-user"), seen.field("x-tenant")), (Some("alice"), Some("t1")), "{seen:?}");
    assert_eq!(seen.field("authorization"), None, "as on every GET");
    assert_eq!(pop.log_line("/a")["principal"], "alice");
    let hides = [("Authorization", token.as_str()), ("Connection", "keep-alive, x-user")];
    assert_eq!(pop.get_with("/b", &hides).status, 400, "who asks cannot be taken off on the way");
    for (what, field, status, challenge) in [
        ("none", None, 401, Some("Bearer")),
        ("nonsense", Some("Bearer abc".to_owned()), 401, Some("Bearer scope=\"\" error=\"invalid_token\"")),
        (
            "another audience",
            Some(bearer(&mint, json!({"iss": ISSUER, "aud": "app", "sub": "a", "scope": "read"}))),
            401,
            Some("Bearer scope=\"\" error=\"invalid_token\""),
        ),
        (
            "expired",
            Some(bearer(&mint, json!({"iss": ISSUER, "aud": "web", "sub": "a", "exp": 1}))),
            401,
            Some("Bearer scope=\"\" error=\"invalid_token\""),
        ),
        (
            "another key under the same name",
            Some(bearer(&Mint::new("k1"), claims("alice"))),
            401,
            Some("Bearer scope=\"\" error=\"invalid_token\""),
        ),
        (
            "no scope",
            Some(bearer(&mint, json!({"iss": ISSUER, "aud": "web", "sub": "a", "cognito:groups": ["admins"]}))),
            403,
            Some("Bearer error=\"insufficient_scope\""),
        ),
    ] {
        let fields: Vec<(&str, &str)> = field.iter().map(|field| ("Authorization", field.as_str())).collect();
        let reply = pop.get_with("/denied", &fields);
        assert_eq!((reply.status, reply.field("www-authenticate")), (status, challenge), "{what}");
        let message = if status == 401 { "Unauthorized" } else { "Forbidden" };
        assert_eq!(reply.text(), format!("{{\"message\":\"{message}\"}}"), "{what}");
        assert_eq!(reply.field("cache-control"), Some("no-store"), "{what}");
    }
    let missing = |line: &Value| line["error"].as_str().is_some_and(|error| error.starts_with("token_missing"));
    let line = until("the reason in the log", || pop.access_log().into_iter().find(|line| missing(line)));
    assert_eq!((&line["failure"], &line["path"]), (&json!("access_denied"), &json!("/denied")));
    let turned_away = [("behavior", "*"), ("kind", "access_denied")].map(|(name, value)| format!("{name}=\"{value}\""));
    let labels: Vec<&str> = turned_away.iter().map(String::as_str).collect();
    pop.counts_to("rimward_turned_away_total", &labels, 6.0);
    assert_eq!(origin.count(), 1, "nobody else got through");
}

/// The issue: "a Principal that … functions can use", on a hit and on the way to the origin.
#[test]
fn functions_are_told_who_asks() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let mint = Mint::new("k1");
    let setup = pop(
        &origin,
        &format!(
            "[[function]]\nname = \"edge\"\nfile = \"edge.js\"\n[[function]]\nname = \"origin\"\nfile = \"origin.js\"\n\
             [[jwt]]\nname = \"pool\"\nissuer = \"{ISSUER}\"\njwks = \"file:{{dir}}/jwks.json\"\naudience = [\"web\"]\n\
             algorithms = [\"ES256\"]\n"
        ),
        "access = { jwt = \"pool\" }\n\
         hooks = { viewer_response = \"edge\", origin_request = \"origin\" }",
    );
    std::fs::write(setup.dir().join("jwks.json"), Mint::jwks(&[&mint])).unwrap();
    let edge = "function handler(event) { const who = event.viewer.principal; event.response.headers['x-who'] = { value: \
                who.kind + ' ' + who.id + ' of ' + who.issuer + ' ' + who.claims.tenant }; return event.response; }";
    let origins = "exports.handler = async (event) => { const cf = event.Records[0].cf; cf.request.headers['x-tenant'] = \
                   [{ key: 'X-Tenant', value: cf.principal.claims.tenant }]; return cf.request; };";
    std::fs::write(setup.dir().join("edge.js"), edge).unwrap();
    std::fs::write(setup.dir().join("origin.js"), origins).unwrap();
    let pop = setup.start();
    let token = bearer(&mint, claims("alice"));
    for hit in [false, true] {
        let reply = pop.get_with("/a", &[("Authorization", &token)]);
        assert_eq!((reply.status, reply.hit()), (200, hit), "{}", reply.text());
        assert_eq!(reply.field("x-who"), Some("jwt alice of pool t1"));
    }
    let seen = origin.last();
    assert_eq!(seen.field("x-tenant"), Some("t1"), "{seen:?}");
}

/// The issue: cached answers never leak between principals.
#[test]
fn each_principal_has_its_own_answers_unless_they_are_shared() {
    for (line, shared) in [("", false), ("cache = { shared = true }", true)] {
        let origin = Origin::counting("Cache-Control: max-age=60\r\n");
        let mint = Mint::new("k1");
        let pop = with_issuer(&origin, &mint, "", &format!("access = {{ jwt = \"pool\" }}\n{line}"));
        let (alice, bob) = (bearer(&mint, claims("alice")), bearer(&mint, claims("bob")));
        let get = |who: &str| pop.get_with("/a", &[("Authorization", who)]);
        let first = get(&alice);
        assert!(!first.hit());
        let again = get(&alice);
        assert!(again.hit() && again.text() == first.text(), "{:?}", again.cache());
        let other = get(&bob);
        assert_eq!(other.hit(), shared, "{:?}", other.cache());
        assert_eq!(other.text() == first.text(), shared);
        assert!(get(&bob).hit());
        assert_eq!(pop.get("/a").status, 401, "a stored answer is for nobody else");
        let mut h2 = H2::plain(pop.http);
        let reply = h2.send("GET", "/a", &[("authorization", &alice)], b"", &[]);
        assert_eq!((reply.status, reply.body.as_slice()), (200, first.text().as_bytes()), "the same over HTTP/2");
        assert_eq!(h2.get("/a").status, 401);
        assert_eq!(origin.count(), if shared { 1 } else { 2 });
    }
}

#[test]
fn an_object_that_is_refreshed_in_the_background_stays_its_principals() {
    let origin = Origin::counting("Cache-Control: max-age=0, stale-while-revalidate=60\r\n");
    let mint = Mint::new("k1");
    let behavior = "access = { jwt = \"pool\" }\nidentity = { header = \"x-user\" }";
    let pop = with_issuer(&origin, &mint, "", behavior);
    let alice = bearer(&mint, claims("alice"));
    let get = || pop.get_with("/a", &[("Authorization", &alice)]);
    let first = get();
    assert_eq!(get().text(), first.text(), "stale, at once");
    origin.wait(2);
    until("the refreshed answer", || (get().text() != first.text()).then_some(()));
    for seen in origin.requests() {
        assert_eq!(seen.field("x-user"), Some("alice"), "the background request too: {seen:?}");
    }
}

#[test]
fn keys_that_rotate_are_fetched_and_unknown_ones_are_not_fetched_for_ever() {
    let (old, new) = (Mint::new("k1"), Mint::new("k2"));
    let set = std::sync::Arc::new(parking_lot::Mutex::new(Mint::jwks(&[&old])));
    let served = set.clone();
    let issuer = Origin::start(move |x| {
        let body = served.lock().clone();
        x.reply("200 OK", "Content-Type: application/json\r\n", body);
    });
    let origin = Origin::counting("");
    let setup = pop(
        &origin,
        &format!(
            "[[jwt]]\nname = \"pool\"\nissuer = \"{ISSUER}\"\njwks = \"{}/keys\"\naudience = [\"web\"]\nalgorithms = [\"ES256\"]\n",
            issuer.url()
        ),
        "access = { jwt = \"pool\" }\ncache = false",
    );
    let pop = setup.start();
    let get = |mint: &Mint| pop.get_with("/a", &[("Authorization", &bearer(mint, claims("a")))]).status;
    assert_eq!(get(&old), 200);
    *set.lock() = Mint::jwks(&[&old, &new]);
    let before = issuer.count();
    assert_eq!(get(&new), 200, "its key was fetched for it");
    assert_eq!(issuer.count(), before + 1);
    for n in 0..50 {
        assert_eq!(get(&Mint::new(&format!("stranger-{n}"))), 401);
    }
    assert!(issuer.count() <= before + 2, "{} fetches", issuer.count());
    assert_eq!(get(&old), 200);
}

#[test]
fn api_keys_open_stages_come_from_the_operator_and_are_taken_away() {
    let origin = Origin::counting("");
    let setup = pop(
        &origin,
        "[[usage_plan]]\nname = \"gold\"\nstages = [\"prod\"]\n[[usage_plan]]\nname = \"lab\"\nstages = [\"test\"]\n",
        "stage = \"prod\"\naccess = \"api_key\"\ncache = false",
    );
    let pop = setup.start();
    let made = |name: &str, plan: &str| {
        let body = json!({"name": name, "plans": [plan]}).to_string();
        let reply = pop.admin("POST", "/keys", &body);
        assert!(reply.status < 300, "{}", reply.text());
        let answer: Value = serde_json::from_str(&reply.text()).unwrap();
        answer["value"].as_str().unwrap().to_owned()
    };
    let (acme, lab) = (made("acme", "gold"), made("lab", "lab"));
    let get = |key: &str| pop.get_with("/a", &[("X-Api-Key", key)]);
    assert_eq!(get(&acme).status, 200);
    for key in [lab.as_str(), "no-such-key-no-such-key", ""] {
        let reply = get(key);
        assert_eq!((reply.status, reply.text().as_str()), (403, "{\"message\":\"Forbidden\"}"), "{key}");
        assert_eq!(reply.field("x-amzn-errortype"), Some("ForbiddenException"));
    }
    assert_eq!(pop.get("/a").status, 403);
    assert_eq!(pop.log_line("/a")["principal"], "acme");
    assert!(!pop.access_lines().join("\n").contains(&acme), "the value is nowhere");
    assert!(pop.admin("PATCH", "/keys/acme", "{\"enabled\":false}").status < 300);
    assert_eq!(get(&acme).status, 403, "at once");
    assert!(pop.admin("PATCH", "/keys/acme", "{\"enabled\":true}").status < 300);
    assert_eq!(get(&acme).status, 200);
    assert_eq!(origin.count(), 2);
}

#[test]
fn rules_within_rules() {
    let origin = Origin::counting("");
    let mint = Mint::new("k1");
    let hash = "[[api_key]]\nname = \"acme\"\nsha256 = \"9e0e6d1a5a2fe9b3f07dcf0d26a8a1d7a6bd7a1b7b3a4f6a2c1f8a55f3b7a9c1\"\n\
                [[address_list]]\nname = \"here\"\nnets = [\"127.0.0.0/8\", \"::1\"]\n\
                [[address_list]]\nname = \"elsewhere\"\nnets = [\"192.0.2.0/24\"]\n";
    let token = bearer(&mint, claims("alice"));
    for (rule, with_token, without) in [
        ("{ any = [\"api_key\", { jwt = \"pool\" }] }", 200, 403),
        ("{ any = [{ address = \"elsewhere\" }, { jwt = \"pool\" }] }", 200, 403),
        ("{ any = [{ address = \"here\" }, { jwt = \"pool\" }] }", 200, 200),
        ("{ all = [{ address = \"here\" }, { jwt = \"pool\" }] }", 200, 401),
        ("{ all = [{ address = \"elsewhere\" }, { jwt = \"pool\" }] }", 403, 403),
        ("{ none = [{ address = \"here\" }] }", 403, 403),
        ("{ all = [{ none = [{ address = \"elsewhere\" }] }, { any = [\"api_key\", { jwt = \"pool\" }] }] }", 200, 403),
        ("{ none = [{ jwt = \"pool\" }] }", 403, 200),
    ] {
        let pop = with_issuer(&origin, &mint, hash, &format!("access = {rule}\ncache = false"));
        assert_eq!(pop.get_with("/a", &[("Authorization", &token)]).status, with_token, "{rule}, with a token");
        assert_eq!(pop.get("/a").status, without, "{rule}, without");
    }
}

#[test]
fn countries_come_from_the_database_and_their_header_from_the_edge() {
    let origin = Origin::counting("");
    let database = format!("{}/geo/test.mmdb", env!("CARGO_MANIFEST_DIR"));
    let listener = "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let mut setup = pop(
        &origin,
        &format!("[geo]\ndatabases = [\"{database}\"]\n"),
        "access = { country = [\"DE\"] }\nforward = { headers = [\"cloudfront-viewer-country\"] }",
    );
    setup.listeners = listener.to_owned();
    let pop = setup.start();
    let get = |from: &str| {
        let fields = [("X-Forwarded-For", from), ("CloudFront-Viewer-Country", "XX")];
        Raw::connect(pop.extra[0]).ask("GET", "/a", &fields)
    };
    assert_eq!(get("192.0.2.1").status, 200);
    assert_eq!(origin.last().field("cloudfront-viewer-country"), Some("DE"), "not what the viewer said");
    let denied = get("192.0.2.200");
    assert_eq!((denied.status, denied.text().as_str()), (403, "{\"message\":\"This is not served in your country\"}"));
    assert_eq!(get("203.0.113.1").status, 403, "a country that is not known");
    assert_eq!(pop.log_line("/a")["path"], "/a");
}

/// The issue: databases are hot reloaded.
#[test]
fn a_database_that_is_replaced_is_read_without_a_restart() {
    let origin = Origin::counting("");
    let known = std::fs::read(format!("{}/geo/test.mmdb", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut setup = pop(
        &origin,
        "[geo]\ndatabases = [\"{dir}/countries.mmdb\"]\n",
        "access = { country = [\"FR\"] }\nforward = { headers = [\"cloudfront-viewer-country\"] }\ncache = false",
    );
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntrusted_proxies = [\"127.0.0.1\"]\n".to_owned();
    std::fs::write(setup.dir().join("countries.mmdb"), &known).unwrap();
    let pop = setup.start();
    let get = || Raw::connect(pop.extra[0]).ask("GET", "/a", &[("X-Forwarded-For", "192.0.2.1")]);
    assert_eq!(get().status, 403, "it is in Germany");
    // The same database, in which the network has moved: a text of two letters with its mark before it.
    let moved = |bytes: Vec<u8>| {
        let at = bytes.windows(3).position(|three| three == b"\x42DE").unwrap();
        let mut bytes = bytes;
        bytes[at + 1..at + 3].copy_from_slice(b"FR");
        bytes
    };
    std::fs::write(pop.dir().join("new.mmdb"), moved(known)).unwrap();
    std::fs::rename(pop.dir().join("new.mmdb"), pop.dir().join("countries.mmdb")).unwrap();
    let reply = until("the new database", || Some(get()).filter(|reply| reply.status == 200));
    assert_eq!(origin.last().field("cloudfront-viewer-country"), Some("FR"), "{}", reply.text());
}

#[test]
fn a_client_certificate_names_who_asks() {
    let authority = Authority::new();
    let origin = Origin::counting("");
    let mut setup = pop(
        &origin,
        "",
        "access = { certificate_name = [\"device-*\"] }\nidentity = { header = \"x-device\" }\ncache = false",
    );
    authority.issue(&["shop.example"]).files(setup.dir(), "server");
    authority.file(setup.dir());
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntls = { certificates = [{ cert = \
                       \"{dir}/server.pem\", key = \"{dir}/server.key\" }], client_auth = \"optional\", client_ca = \
                       \"{dir}/authority.pem\" }\n"
        .to_owned();
    let pop = setup.start();
    let status = |own: Option<&str>| {
        let pair = own.map(|name| authority.issue(&[name]));
        let client = authority.client(&["http/1.1"], pair.as_ref());
        Raw::secure(pop.extra[0], "shop.example", client).unwrap().get("/a").status
    };
    assert_eq!(status(Some("device-7.example")), 200);
    assert!(origin.last().field("x-device").unwrap().contains("device-7.example"));
    assert_eq!(status(Some("printer.example")), 403);
    assert_eq!(status(None), 403);
    assert_eq!(pop.get("/a").status, 403, "no TLS, no certificate");
}

#[test]
fn bad_rules_change_nothing_while_the_old_ones_hold() {
    let origin = Origin::counting("");
    let mint = Mint::new("k1");
    let pop = with_issuer(&origin, &mint, "", "access = { jwt = \"pool\" }\ncache = false");
    let token = bearer(&mint, claims("alice"));
    let reply = pop.reload(&format!(
        "{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\naccess = {{ jwt = \"pools\" }}\n",
        origin.config("o")
    ));
    assert!(reply.status >= 400 && reply.text().contains("unknown jwt 'pools'"), "{}", reply.text());
    assert_eq!(pop.get("/a").status, 401, "still guarded");
    assert_eq!(pop.get_with("/a", &[("Authorization", &token)]).status, 200);
}

/// CloudFront Developer Guide, "Use signed URLs": the parameters are not part of what is asked for.
#[test]
fn a_signed_url_lets_in_until_it_expires_and_shares_its_object() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let mut setup = pop(
        &origin,
        "[[key_group]]\nname = \"premium\"\n[[key_group.key]]\nid = \"K1\"\nfile = \"{dir}/public.pem\"\n",
        "access = { signed = \"premium\" }\nforward = { query = \"all\" }",
    );
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(setup.dir().join("public.pem"), key.public_key_pem()).unwrap();
    let private = setup.dir().join("private.pem");
    std::fs::write(&private, key.serialize_pem()).unwrap();
    setup.rest = setup.rest.clone();
    let pop = setup.start();
    let sign = |url: &str, more: &[&str]| {
        let mut args = vec!["sign", "url", url, "--key-pair-id", "K1", "--key", private.to_str().unwrap()];
        args.extend(more);
        let (status, out, err) = crate::harness::pop::run(&args);
        assert!(status.success(), "{err}");
        let url = out.trim().to_owned();
        url.strip_prefix(&format!("http://{HOST}")).unwrap().to_owned()
    };
    let url = format!("http://{HOST}/film?part=1");
    let first = pop.get(&sign(&url, &["--expires", "1h"]));
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(origin.last().target.ends_with("/film?part=1"), "{}", origin.last().target);
    let second = pop.get(&sign(&url, &["--expires", "2h", "--hash", "sha256"]));
    assert!(second.hit() && second.text() == first.text(), "{:?}", second.cache());
    assert!(pop.log_line("/film")["query"].as_str().unwrap().contains("Signature="), "the log has what was sent");
    let signed = sign(&url, &["--expires", "1h"]);
    let expired = sign(&url, &["--expires", "1s"]);
    until("it has expired", || (pop.get(&expired).status == 403).then_some(()));
    for (what, target, code) in [
        ("nothing", "/film?part=1".to_owned(), "MissingKey"),
        ("another part", signed.replace("part=1", "part=2"), "AccessDenied"),
        ("another key", signed.replace("Key-Pair-Id=K1", "Key-Pair-Id=K2"), "AccessDenied"),
        ("another time", signed.replacen("Expires=1", "Expires=2", 1), "AccessDenied"),
        ("expired", expired, "AccessDenied"),
    ] {
        let reply = pop.get(&target);
        assert_eq!((reply.status, reply.field("content-type")), (403, Some("text/xml")), "{what}");
        assert!(reply.text().contains(&format!("<Code>{code}</Code>")), "{what}: {}", reply.text());
    }
    assert_eq!(origin.count(), 1);
}

const AUTHORIZER: &str = r#"
let calls = 0;
exports.handler = async (event) => {
    const token = event.authorizationToken;
    if (token === 'nobody') throw new Error('Unauthorized');
    if (token === 'broken') return { principalId: 'x' };
    const effect = token === 'denied' ? 'Deny' : 'Allow';
    return {
        principalId: 'user',
        policyDocument: {
            Version: '2012-10-17',
            Statement: [{ Action: 'execute-api:Invoke', Effect: effect, Resource: event.methodArn.replace('/private', '/public') }],
        },
        context: { tenant: token },
    };
};
"#;

/// API Gateway Developer Guide, "Use API Gateway Lambda authorizers".
#[test]
fn a_function_decides_and_is_asked_once_for_each_identity() {
    let origin = Origin::counting("Cache-Control: max-age=60\r\n");
    let setup = pop(
        &origin,
        "[[function]]\nname = \"auth\"\nfile = \"auth.js\"\n[[authorizer]]\nname = \"tenants\"\nfunction = \"auth\"\n",
        "access = { authorizer = \"tenants\" }\nidentity = { header = \"x-user\", claims = { x-tenant = \"tenant\" } }",
    );
    std::fs::write(setup.dir().join("auth.js"), AUTHORIZER).unwrap();
    let pop = setup.start();
    let get = |token: &str, path: &str| pop.get_with(path, &[("Authorization", token)]);
    let first = get("t1", "/public");
    assert_eq!(first.status, 200, "{}", first.text());
    let seen = origin.last();
    assert_eq!((seen.field("x-user"), seen.field("x-tenant")), (Some("user"), Some("t1")));
    assert!(get("t1", "/public").hit());
    let other = get("t2", "/public");
    assert!(!other.hit() && origin.last().field("x-tenant") == Some("t2"), "the same principalId, another identity");
    for (token, path, status, body) in [
        ("nobody", "/public", 401, "{\"message\":\"Unauthorized\"}"),
        (
            "denied",
            "/public",
            403,
            "{\"Message\":\"User is not authorized to access this resource with an explicit deny\"}",
        ),
        ("t3", "/private", 403, "{\"Message\":\"User is not authorized to access this resource\"}"),
        ("broken", "/public", 500, "{\"message\":null}"),
    ] {
        let reply = get(token, path);
        assert_eq!((reply.status, reply.text().as_str()), (status, body), "{token} {path}");
    }
    let none = pop.get("/public");
    assert_eq!((none.status, none.text().as_str()), (401, "{\"message\":\"Unauthorized\"}"));
    let calls = || {
        let lines = pop.access_log();
        let functions = lines.iter().filter_map(|line| line["functions"].as_array());
        functions.flatten().filter(|call| call["event"] == "authorizer").count()
    };
    let before = until("the log", || Some(calls()).filter(|calls| *calls >= 6));
    let elsewhere = get("t1", "/private");
    assert_eq!(elsewhere.status, 403, "the policy that was kept is for /public, and looked at anew: as with AWS");
    assert_eq!(calls(), before);
}
