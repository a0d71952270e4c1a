//! Tests of access rules, limits, plans and keys: what is written is what runs, each rule broken once.

mod unmet;

use std::time::Duration;

use http::{HeaderName, Method};

use super::*;
use crate::config::compiled::{
    AuthorizerKind, IdentitySource, JwksSource, JwtAlgorithm, KeyMaterial, Per, Period, Rule, TokenFrom, TokenUse,
};

const ORIGIN: &str = "[[origin]]\nname = 'o'\nurl = 'http://h'\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----\n";
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n";

fn read(text: &str) -> Result<Config, Vec<String>> {
    let dir = tempfile::TempDir::new().unwrap();
    for (name, content) in [
        ("f.js", "exports.handler = 1"),
        ("public.pem", PUBLIC),
        ("same.pem", &format!("A comment\n{}", PUBLIC.replace('\n', "\r\n"))),
        ("other.pem", &PUBLIC.replace("MA==", "MQ==")),
        ("private.pem", PRIVATE),
        ("empty.txt", "# nobody\n"),
        ("list.txt", "# office\n192.0.2.0/24 # one\n\n2001:db8::1\n"),
        ("broken.txt", "192.0.2.0/24\n192.0.2.300\n"),
        ("secret", "hush"),
        ("days", &format!("20261126 eu-central-1 execute-api {}\n", "ab".repeat(32))),
        ("jwks.json", "{\"keys\": []}"),
        ("geo.mmdb", ""),
    ] {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let one = |error: &ConfigError| match error {
        ConfigError::Invalid(d) => format!("{}:{} {}", d.line, d.column, d.message),
        other => other.to_string(),
    };
    parse(&format!("{ORIGIN}{text}"), "t.toml", dir.path()).map_err(|errors| errors.iter().map(one).collect())
}

fn bad(text: &str) -> String {
    match read(text) {
        Ok(_) => panic!("taken: {text}"),
        Err(found) => found.join("\n"),
    }
}

fn good(text: &str) -> Config {
    read(text).unwrap_or_else(|found| panic!("{text}\n{}", found.join("\n")))
}

const GUARDS: &str = r#"
    [[jwt]]
    name = "customers"
    issuer = "https://issuer.example"
    audience = ["web"]
    [[jwt]]
    name = "pool"
    issuer = "https://pool.example/p"
    jwks = "file:jwks.json"
    audience = []
    token_use = "access"
    algorithms = ["ES256", "EdDSA"]
    from = ["cookie:session", "query:token", "header:X-Token"]
    leeway = "30s"
    [[sigv4]]
    name = "partners"
    regions = ["eu-central-1"]
    chunked_payload = true
    [[sigv4.key]]
    id = "AKIB"
    days = "file:days"
    [[sigv4.key]]
    id = "AKIA"
    secret = "file:secret"
    principal = "arn:aws:iam::123456789012:user/alice"
    [[key_group]]
    name = "premium"
    [[key_group.key]]
    id = "K1"
    file = "public.pem"
    [[function]]
    name = "f"
    file = "f.js"
    [[authorizer]]
    name = "tenants"
    function = "f"
    kind = "request-2.0"
    identity = ["header:Authorization", "query:k", "path"]
    ttl = "1m"
    [[address_list]]
    name = "office"
    nets = ["10.0.0.0/8"]
    file = "list.txt"
"#;

#[test]
fn guards_and_rules() {
    let config = good(&format!(
        r#"{GUARDS}
        [geo]
        databases = ["geo.mmdb"]
        [[behavior]]
        match = "/a/*"
        access = {{ any = ["api_key", {{ jwt = {{ issuer = "pool", scopes = ["read"], groups = ["admins"] }} }}] }}
        [[behavior]]
        match = "/b/*"
        access = {{ all = [{{ sigv4 = "partners" }}, {{ address = "office" }}, {{ none = [{{ country = ["FR"] }}] }}] }}
        [[behavior]]
        match = "/c/*"
        access = {{ signed = "premium" }}
        [[behavior]]
        match = "/d/*"
        access = {{ authorizer = "tenants" }}
        cache = {{ shared = true }}
        identity = {{ header = "x-user", claims = {{ x-email = "email" }} }}
        [[behavior]]
        match = "/e/*"
        access = {{ certificate_name = ["device-*"] }}
        "#
    ));
    let access = &config.access;
    assert_eq!(access.issuers[0].jwks, JwksSource::Url("https://issuer.example/.well-known/jwks.json".into()));
    assert_eq!(access.issuers[0].algorithms, [JwtAlgorithm::Rs256]);
    let pool = &access.issuers[1];
    assert!(matches!(&pool.jwks, JwksSource::Set(set) if set.contains("keys")));
    assert_eq!((pool.token_use, pool.leeway), (Some(TokenUse::Access), Duration::from_secs(30)));
    assert_eq!(
        pool.from,
        [
            TokenFrom::Cookie("session".into()),
            TokenFrom::Query("token".into()),
            TokenFrom::Header(HeaderName::from_static("x-token"))
        ]
    );
    let signer = &access.signers[0];
    assert_eq!(
        (signer.service.as_str(), signer.skew, signer.payload.chunked),
        ("execute-api", Duration::from_secs(900), true)
    );
    assert_eq!(signer.keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["AKIA", "AKIB"], "sorted");
    assert!(matches!(&signer.keys[0].material, KeyMaterial::Secret(secret) if secret.expose() == "hush"));
    assert!(matches!(&signer.keys[1].material, KeyMaterial::Days(days) if days[0].region == "eu-central-1"));
    assert_eq!(access.authorizers[0].kind, AuthorizerKind::Request2);
    assert_eq!(access.authorizers[0].identity[2], IdentitySource::Path);
    let nets: Vec<String> = access.address_lists[0].nets.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::1/128"]);

    let rules: Vec<&Rule> = config.behaviors.iter().filter_map(|b| b.access.as_ref()).collect();
    assert!(
        matches!(rules[0], Rule::Any(rules) if matches!(&rules[..], [Rule::ApiKey, Rule::Jwt(jwt)] if jwt.issuer == 1 && jwt.scopes == ["read"]))
    );
    assert!(
        matches!(rules[1], Rule::All(rules) if matches!(&rules[..], [Rule::SigV4(0), Rule::Address(0), Rule::Not(_)]))
    );
    let per_principal: Vec<bool> = config.behaviors.iter().map(|b| b.per_principal).collect();
    assert_eq!(per_principal, [true, true, false, false, true], "nobody's answers are shared unless it is said");
    assert_eq!(config.behaviors[3].identity.claims[0].1, "email");
    assert!(!format!("{config:?}").contains("hush"));
    let warnings = config.warnings.join("\n");
    assert!(warnings.contains("'/d/*' shares its answers"), "{warnings}");
    assert!(warnings.contains("'/e/*' wants client certificates"), "{warnings}");
}

#[test]
fn databases_are_files_or_directories_of_them() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("none")).unwrap();
    std::fs::create_dir_all(dir.path().join("geo/c.mmdb")).unwrap();
    for name in ["geo/b.mmdb", "geo/a.mmdb", "geo/notes.txt", "one.mmdb"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let read = |names: &str| parse(&format!("{ORIGIN}[geo]\ndatabases = {names}"), "t.toml", dir.path());
    let config = read("['one.mmdb', 'geo']").unwrap();
    let at = |name: &str| dir.path().join(name);
    let paths: Vec<_> = config.geo.iter().map(|database| database.path.clone()).collect();
    assert_eq!(paths, ["one.mmdb", "geo/a.mmdb", "geo/b.mmdb"].map(at));
    let columns: Vec<_> = config.geo.iter().map(|database| (database.place.line, database.place.column)).collect();
    assert_eq!(columns, [(5, 14), (5, 26), (5, 26)], "each is named where it is written");
    for path in ["one.mmdb", "geo", "geo/a.mmdb", "geo/b.mmdb"] {
        assert!(config.sources.contains(&at(path)), "{path} is watched");
    }
    for (names, says) in [("['none']", "none has no *.mmdb file"), ("['two.mmdb']", "cannot read")] {
        let error = read(names).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("t.toml:5:14"), "{error}");
    }
}

#[test]
fn what_access_refuses() {
    let key = |name: &str, hash: String| format!("[[api_key]]\nname='{name}'\nsha256='{hash}'\n");
    let same_value = key("a", "ab".repeat(32)) + &key("b", "AB".repeat(32));
    for (text, want) in [
        ("[[behavior]]\nmatch='*'\naccess = 'api_keys'", "api_key"),
        ("[[behavior]]\nmatch='*'\naccess = { jwt = 'customer' }", "unknown jwt 'customer'"),
        ("[[behavior]]\nmatch='*'\naccess = { any = [] }", "no rule is named"),
        ("[[behavior]]\nmatch='*'\naccess = { country = ['de'] }", "'de' is no country"),
        ("[[behavior]]\nmatch='*'\naccess = { none = [{ country = ['DE', 'UK'] }] }", "'UK' is no country"),
        ("[[behavior]]\nmatch='*'\naccess = { country = ['XX'] }", "'XX' is no country"),
        ("[[behavior]]\nmatch='*'\naccess = { country = ['DE'] }", "`geo.databases` names no database"),
        ("[[behavior]]\nmatch='*'\nredirect = { to = '/x' }\naccess = 'api_key'", "a redirect is answered before"),
        ("[[jwt]]\nname='a'\nissuer='x'\naudience=[]", "6:8 'x/.well-known/jwks.json' is no place for keys"),
        ("[[jwt]]\nname='a'\nissuer='http://x'\njwks='x'\naudience=[]", "7:6 'x' is no place for keys"),
        ("[[address_list]]\nname='a'", "nothing says what is in the list"),
        (&same_value, "'b' and 'a' have the same value"),
        ("[[address_list]]\nname='a'\nnets=['10.0.0.5/8']", "'10.0.0.5/8' is an address within 10.0.0.0/8"),
        (
            "[[key_group]]\nname='g'\nkey=[{ id='K', file='public.pem' }, { id='K', file='public.pem' }]",
            "6:42 the key 'K' is there twice",
        ),
        (
            "[[key_group]]\nname='g'\nkey=[{ id='K', file='public.pem' }]\n[[key_group]]\nname='h'\nkey=[{ id='K', file='other.pem' }]",
            "9:11 the key 'K' is there twice: the key group 'g' has another public key under this id",
        ),
        ("[[jwt]]\nname='a'\nissuer='http://x'", "missing key 'audience'"),
        ("[[jwt]]\nname='a'\nissuer='http://x'\naudience=[]\nalgorithms=['HS256']", "unknown value 'HS256'"),
        ("[[jwt]]\nname='a'\nissuer='http://x'\naudience=[]\nfrom=['body']", "'body' names no part of a request"),
        ("[[jwt]]\nname='a'\nissuer='http://x'\naudience=[]\nkeep='1m'", "`keep` is less than `refresh`"),
        ("[[sigv4]]\nname='a'\nkey=[]", "the list is empty"),
        ("[[sigv4]]\nname='a'\n[[sigv4.key]]\nid='AK'", "exactly one of 'secret', 'days' and 'public'"),
        ("[[sigv4]]\nname='a'\n[[sigv4.key]]\nid='AK'\nsecret='hush'", "a secret is never written"),
        ("[[sigv4]]\nname='a'\n[[sigv4.key]]\nid='A/K'\nsecret='file:secret'", "'A/K' is no access key id"),
        (
            "[[sigv4]]\nname='a'\n[[sigv4.key]]\nid='AK'\ndays='file:secret'",
            "line 1 of the derived keys cannot be read",
        ),
        ("[[sigv4]]\nname='a'\n[[sigv4.key]]\nid='AK'\npublic='AAAA'", "this is no public key"),
        ("[[key_group]]\nname='a'\n[[key_group.key]]\nid='K'\nfile='private.pem'", "is a private key"),
        ("[[key_group]]\nname='a'\n[[key_group.key]]\nid='K'\nfile='secret'", "is no PEM file"),
        ("[[authorizer]]\nname='a'\nfunction='g'", "unknown function 'g'"),
        (
            "[[function]]\nname='f'\nfile='f.js'\n[[authorizer]]\nname='a'\nfunction='f'\nvalidate='a)|(b'",
            "'a)|(b' is no regular expression",
        ),
        (
            "[[function]]\nname='f'\nfile='f.js'\n[[authorizer]]\nname='a'\nfunction='f'\nkind='request'\nvalidate='a'",
            "only a token authorizer's source is matched",
        ),
        ("[[behavior]]\nmatch='*'\naccess = 'authorizer_key'", "no authorizer gives one"),
        (
            "[[function]]\nname='f'\nfile='f.js'\n[[authorizer]]\nname='a'\nfunction='f'\n[[behavior]]\nmatch='*'\n\
             access = { any = [{ authorizer = 'a' }, 'authorizer_key'] }",
            "no authorizer gives one",
        ),
        (
            "[[address_list]]\nname='a'\nnets=['10.0.0.0/33']",
            "'10.0.0.0/33' is neither an address nor a network such as 192.0.2.0/24",
        ),
        (
            "[[address_list]]\nname='a'\nfile='broken.txt'",
            "broken.txt:2: '192.0.2.300' is neither an address nor a network",
        ),
        ("[[address_list]]\nname='a'\n[[address_list]]\nname='a'", "the name 'a' is taken"),
    ] {
        let found = bad(text);
        assert!(found.contains(want), "{text}\n{found}");
    }
    let deep = "{ any = [".repeat(12) + "'api_key'" + &"] }".repeat(12);
    assert!(bad(&format!("[[behavior]]\nmatch='*'\naccess = {deep}")).contains("at most 8 deep"));
}

#[test]
fn limits_plans_and_keys() {
    let hash = "0f".repeat(32);
    let config = good(&format!(
        r#"
        [rates]
        account = {{ rate = "10000/s", burst = 5000 }}
        per_address = 100
        [[usage_plan]]
        name = "gold"
        rate = "0.5/s"
        quota = {{ limit = 1000, period = "week", offset = 10 }}
        stages = ["prod"]
        [[usage_plan.method]]
        path = "/pets/*"
        method = "GET"
        stage = "prod"
        rate = "5/s"
        [[usage_plan]]
        name = "test"
        stages = ["test"]
        [[api_key]]
        name = "acme"
        sha256 = "{hash}"
        plans = ["gold", "test"]
        [[behavior]]
        match = "*"
        stage = "prod"
        access = "api_key"
        limit = [
            {{ per = "address", rate = "50/s", burst = 100 }},
            {{ per = {{ claim = "tenant" }}, rate = "100/m" }},
            {{ per = {{ network = {{ v4 = 24 }} }}, concurrency = 3 }},
            {{ per = "address", rate = "1000/h" }},
        ]
        "#
    ));
    let rates = &config.rates;
    assert_eq!(rates.account.map(|quota| (quota.every, quota.burst.get())), Some((Duration::from_micros(100), 5000)));
    assert_eq!(rates.per_address.map(std::num::NonZeroU32::get), Some(100));
    let gold = &rates.plans[0];
    assert_eq!(gold.throttle.map(|quota| (quota.every, quota.burst.get())), Some((Duration::from_secs(2), 1)));
    assert_eq!(gold.quota.map(|quota| (quota.limit, quota.offset, quota.period)), Some((1000, 10, Period::Week)));
    assert_eq!((gold.methods[0].method.clone(), gold.methods[0].path.as_str()), (Some(Method::GET), "/pets/*"));
    assert_eq!(rates.api_keys[0].hash, [0x0f; 32]);
    let limits = &config.behaviors[0].limits;
    let names: Vec<&str> = limits.iter().map(|limit| limit.name.as_str()).collect();
    assert_eq!(names, ["address", "claim", "network", "address-4"]);
    assert_eq!(limits[1].per, Per::Claim("tenant".into()));
    assert_eq!(limits[1].quota.map(|quota| quota.every), Some(Duration::from_millis(600)));
    assert_eq!(limits[2].per, Per::Address { v4: 24, v6: 64 });
    assert_eq!((limits[2].quota, limits[2].concurrency.map(std::num::NonZeroU32::get)), (None, Some(3)));
}

#[test]
fn what_access_warns_of() {
    const PLAN: &str = "[[usage_plan]]\nname = 'gold'\nstages = ['prod']\n";
    const LIMIT: &str = "limit = { per = 'principal', rate = '5/s' }";
    const KEY: &str = "limit = { per = 'api_key', rate = '5/s' }";
    const CLAIM: &str = "limit = [{ per = 'address', rate = '9/s' }, { per = { claim = 'tenant' }, rate = '5/s' }]";
    for (more, behavior, want) in [
        ("", LIMIT.to_owned(), Some("goes by who asks, and there is no `access`: all share one count")),
        ("", format!("{LIMIT}\naccess = {{ address = 'office' }}"), Some("and no rule of `access` finds that out")),
        ("", format!("{LIMIT}\naccess = 'api_key'"), None),
        ("", CLAIM.to_owned(), Some("goes by the claim 'tenant', and there is no `access`")),
        (
            "",
            format!("{CLAIM}\naccess = {{ any = ['api_key', {{ sigv4 = 'partners' }}] }}"),
            Some("only tokens and authorizers"),
        ),
        ("", format!("{CLAIM}\naccess = {{ all = ['api_key', {{ jwt = 'pool' }}] }}"), None),
        ("", format!("{CLAIM}\naccess = {{ authorizer = 'tenants' }}"), None),
        ("", KEY.to_owned(), Some("goes by the API key, and there is no `access`")),
        (
            "",
            format!("{KEY}\naccess = {{ jwt = 'pool' }}"),
            Some("by the API key, and no rule of `access` lets one in"),
        ),
        ("", format!("{KEY}\naccess = {{ any = ['api_key', {{ jwt = 'pool' }}] }}"), None),
        (
            "",
            "limit = { per = 'address', rate = '5/s', shared = true }".to_owned(),
            Some("the limit 'address' is to be counted by all nodes together, and there is no `fleet.bus`"),
        ),
        (
            "[[usage_plan]]\nname = 'q'\nquota = { limit = 5, period = 'day' }\nshared = true\n",
            "access = 'api_key'".to_owned(),
            Some("the quota of 'q' is to be counted by all nodes together"),
        ),
        (
            "",
            "methods = ['GET', 'POTS']".to_owned(),
            Some("'POTS' is no method that is often seen: did you mean 'POST'?"),
        ),
        ("", "methods = ['GET', 'PROPFIND', 'LOCK']".to_owned(), None),
        ("", "identity = { header = 'x-user' }".to_owned(), Some("the header is never there")),
        ("", "identity = { header = 'x-user' }\naccess = 'api_key'".to_owned(), None),
        (PLAN, "access = 'api_key'".to_owned(), Some("has no stage, and every usage plan names those that it opens")),
        (PLAN, "access = 'api_key'\nstage = 'test'".to_owned(), Some("'test', which no usage plan opens")),
        (PLAN, "access = 'api_key'\nstage = 'prod'".to_owned(), None),
        (PLAN, "access = { jwt = 'pool' }".to_owned(), None),
        (PLAN, "access = { all = [{ address = 'office' }, { none = ['api_key'] }] }".to_owned(), None),
        ("[[usage_plan]]\nname = 'all'\n", "access = 'api_key'\nstage = 'test'".to_owned(), None),
        ("", "access = 'api_key'\nstage = 'test'".to_owned(), None),
    ] {
        let config = good(&format!("{GUARDS}\n{more}[[behavior]]\nmatch = '*'\ncache = false\n{behavior}"));
        match want {
            Some(want) => assert!(
                config.warnings.len() == 1 && config.warnings[0].contains(want),
                "{behavior}: {:?}",
                config.warnings
            ),
            None => assert_eq!(config.warnings, Vec::<String>::new(), "{behavior}"),
        }
    }
}

#[test]
fn quotas_that_each_node_counts_for_itself_are_warned_of() {
    const FLEET: &str = "[fleet]\nnode = 'a'\n[fleet.bus]\nurl = 'nats://127.0.0.1:4222'\n";
    let quota = "quota = { limit = 5, period = 'day' }";
    for (fleet, plan, warned) in [
        (FLEET, quota.to_owned(), true),
        (FLEET, format!("{quota}\nshared = true"), false),
        (FLEET, format!("{quota}\nshared = false"), false),
        (FLEET, "rate = '5/s'".to_owned(), false),
        ("", quota.to_owned(), false),
    ] {
        let warnings = good(&format!("{fleet}[[usage_plan]]\nname = 'gold'\n{plan}\n")).warnings;
        let found = warnings.iter().any(|warning| warning.contains("each node counts the quota of 'gold' for itself"));
        assert_eq!(found, warned, "{plan}: {warnings:?}");
    }
}

#[test]
fn a_key_may_be_in_two_groups_and_a_file_may_be_empty() {
    let key = |group: &str, file: &str| format!("[[key_group]]\nname='{group}'\nkey=[{{ id='K', file='{file}' }}]\n");
    good(&(key("g", "public.pem") + &key("h", "same.pem")));
    let config = good("[[address_list]]\nname='office'\nfile='empty.txt'");
    let want = "the address list 'office' is empty: empty.txt names no network";
    assert!(config.warnings.iter().any(|warning| warning.contains(want)), "{:?}", config.warnings);
}

#[test]
fn what_limits_refuse() {
    let hash = "0f".repeat(32);
    for (text, want) in [
        ("[[behavior]]\nmatch='*'\nlimit = { per = 'address' }", "a limit needs a 'rate' or a 'concurrency'"),
        ("[[behavior]]\nmatch='*'\nlimit = { per = 'address', rate = '0/s' }", "'0/s' is no rate"),
        ("[[behavior]]\nmatch='*'\nlimit = { per = 'address', rate = '5' }", "'5' is no rate"),
        (
            "[[behavior]]\nmatch='*'\nlimit = { per = 'address', rate = '1/d', burst = 50000 }",
            "takes more than fifty years to fill: 'burst' is at most 18250 at this rate",
        ),
        (
            "[[behavior]]\nmatch='*'\nlimit = { per = 'address', rate = '2/s', burst = 4000000000 }",
            "'burst' is at most 3153600000 at this rate",
        ),
        ("[[behavior]]\nmatch='*'\nlimit = { per = 'address', rate = '0.0001/d' }", "'0.0001/d' is out of bounds"),
        ("[[behavior]]\nmatch='*'\nlimit = { per = 'adress', rate = '5/s' }", "unknown value 'adress'"),
        ("[[behavior]]\nmatch='*'\nlimit = { per = 'address', burst = 5, concurrency = 1 }", "'burst' needs a 'rate'"),
        ("[[behavior]]\nmatch='*'\nlimit = { per = { network = { v4 = 33 } }, rate = '5/s' }", "has 32 bits"),
        ("[[behavior]]\nmatch='*'\nstage = 'a/b'", "'a/b' is no stage"),
        ("[[usage_plan]]\nname='a'\nquota={limit=0, period='day'}", "must be more than 0"),
        ("[[usage_plan]]\nname='a'\nquota={limit=5, period='day', offset=6}", "more than the limit"),
        ("[[usage_plan]]\nname='a'\n[[usage_plan.method]]\npath='pets'\nrate='5/s'", "'pets' is no path pattern"),
        (
            "[[usage_plan]]\nname='a'\n[[usage_plan.method]]\npath='/pets'\nmethod='get'\nrate='5/s'",
            "unknown method 'get'",
        ),
        ("[[api_key]]\nname='k'\nsha256='abc'", "64 hex digits"),
        (&format!("[[api_key]]\nname='k'\nsha256='{hash}'\nplans=['x']"), "unknown usage plan 'x'"),
        (
            &format!(
                "[[usage_plan]]\nname='a'\n[[usage_plan]]\nname='b'\nstages=['s']\n[[api_key]]\nname='k'\nsha256='{hash}'\nplans=['a','b']"
            ),
            "'b' opens a stage that 'a' opens already",
        ),
    ] {
        let found = bad(text);
        assert!(found.contains(want), "{text}\n{found}");
    }
    let leaked = bad("[[api_key]]\nname='k'\nsha256='my-real-key'");
    assert!(!leaked.contains("my-real-key"), "{leaked}");
}

#[test]
fn rates_read_and_print_alike() {
    use crate::config::units::Rate;
    for (text, every_ns, burst) in [
        ("50/s", 20_000_000, 50),
        ("0.5/s", 2_000_000_000, 1),
        ("100/m", 600_000_000, 1),
        ("1/d", 86_400_000_000_000, 1),
        ("2.125/s", 470_588_235, 2),
    ] {
        let rate: Rate = text.parse().unwrap();
        assert_eq!((rate.every(), rate.burst()), (Duration::from_nanos(every_ns), burst), "{text}");
        assert_eq!(rate.to_string(), text);
    }
    for (text, every_ns) in
        [("1000000000/s", 1), ("60000000000/m", 1), ("86400000000000/d", 1), ("000000000000001/s", 1_000_000_000)]
    {
        assert_eq!(text.parse::<Rate>().unwrap().every(), Duration::from_nanos(every_ns), "{text}");
    }
    for text in ["", "5", "/s", "5/", "5/w", "-1/s", "0/s", "0.000/s", "1e3/s", "5 /s"] {
        let error = text.parse::<Rate>().unwrap_err().to_string();
        assert!(error.contains("is no rate"), "{error}");
    }
    for text in [
        "0.0004/s",
        "0.0001/d",
        "0.0000/s",
        "1.2345/s",
        "1000000000.001/s",
        "4000000000/s",
        "60000000000.001/m",
        "99999999999999999999/s",
    ] {
        let error = text.parse::<Rate>().unwrap_err().to_string();
        assert!(error.contains("is out of bounds: a rate is at least 0.001/d and at most 1000000000/s"), "{error}");
    }
}
