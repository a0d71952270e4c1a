//! Tests of `[dynamodb]`: what is written is what runs, each rule broken once.

use std::time::Duration;

use super::*;
use crate::config::compiled::{DynamoDb, DynamoEndpoint, DynamoFollow, DynamoProjection, Scaling};

const ORIGIN: &str = "[[origin]]\nname = 'o'\nurl = 'http://h'\n";
const SIGNERS: &str = r#"
    [[sigv4]]
    name = "sdk"
    service = "dynamodb"
    [[sigv4.key]]
    id = "AKIA"
    secret = "file:secret"
    [[sigv4]]
    name = "api"
    [[sigv4.key]]
    id = "AKIB"
    secret = "file:secret"
"#;

fn read(text: &str) -> Result<DynamoDb, String> {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("secret"), "hush").unwrap();
    let one = |error: &ConfigError| match error {
        ConfigError::Invalid(d) => format!("{}:{} {}", d.line, d.column, d.message),
        other => other.to_string(),
    };
    let parsed = parse(&format!("{ORIGIN}{text}"), "t.toml", dir.path());
    let config = parsed.map_err(|errors| errors.iter().map(one).collect::<Vec<_>>().join("\n"))?;
    config.dynamodb.ok_or_else(|| "no front".to_owned())
}

#[test]
fn what_is_written_is_what_runs() {
    let plain = read("[dynamodb]").unwrap();
    assert!(matches!(plain.endpoint, DynamoEndpoint::Embedded) && plain.throttle && !plain.sync_full);
    assert_eq!((plain.items.ttl, plain.queries.ttl), (Duration::from_secs(300), Duration::ZERO));
    let whole = read(
        r#"
        [dynamodb]
        listen = "127.0.0.1:8000"
        region = "eu-central-1"
        account = "123456789012"
        sync = "full"
        [[dynamodb.table]]
        name = "todo"
        hash = "pk:S"
        range = "sk:N"
        stream = "NEW_AND_OLD_IMAGES"
        ttl = "expires"
        read = { units = 5 }
        write = { min = 5, max = 50, target = 60 }
        [[dynamodb.table.index]]
        name = "by-owner"
        hash = "owner:S"
        projection = ["title"]
        [[dynamodb.table.index]]
        name = "by-date"
        range = "date:S"
        projection = "none"
        "#,
    )
    .unwrap();
    let table = &whole.tables[0];
    assert_eq!((table.hash.name.as_str(), table.range.as_ref().map(|key| key.kind)), ("pk", Some("N")));
    assert_eq!((table.stream, table.ttl.as_deref()), (Some("NEW_AND_OLD_IMAGES"), Some("expires")));
    let capacity = table.capacity.unwrap();
    assert_eq!((capacity.read.units, capacity.write.units), (5, 5));
    assert_eq!(capacity.write.scaling, Some(Scaling { min: 5, max: 50, target: 60 }));
    let indexes: Vec<_> = table.indexes.iter().map(|index| (index.local, index.hash.name.as_str())).collect();
    assert_eq!(indexes, [(false, "owner"), (true, "pk")]);
    assert_eq!(table.indexes[0].projection, DynamoProjection::Include(vec!["title".into()]));
    assert!(whole.sync_full);

    let aws = "[dynamodb]\nendpoint = 'aws:eu-west-1'\ncredentials = { access_key = 'file:secret', secret_key = 'file:secret' }";
    let aws = read(aws).unwrap();
    assert!(matches!(&aws.endpoint, DynamoEndpoint::Remote { url, credentials: Some(_) }
        if url == "https://dynamodb.eu-west-1.amazonaws.com"));
    assert!(!format!("{aws:?}").contains("hush"));
    assert_eq!(aws.region, "eu-west-1");
    let signed = read(&format!("{SIGNERS}[dynamodb]\nlisten = '0.0.0.0:8000'\naccess = 'sdk'")).unwrap();
    assert_eq!(signed.access, Some(0));
}

#[test]
fn a_stream_is_followed_as_written() {
    let ms = Duration::from_millis;
    for (follow, want) in [
        ("", None),
        ("follow = false", None),
        ("follow = true", Some((ms(2000), ms(250)))),
        ("follow = {}", Some((ms(2000), ms(250)))),
        ("follow = { lag = '5s', poll = '100ms' }", Some((ms(5000), ms(100)))),
        ("follow = { lag = '500ms' }", Some((ms(500), ms(250)))),
    ] {
        let spec = read(&format!("[dynamodb]\nendpoint = 'http://h'\n{follow}")).unwrap();
        assert_eq!(spec.follow, want.map(|(lag, poll)| DynamoFollow { lag, poll }), "{follow}");
    }
}

#[test]
fn each_rule_is_held() {
    let table = |more: &str| format!("[dynamodb]\n[[dynamodb.table]]\nname = 'todo'\nhash = 'pk:S'\n{more}");
    for (text, want) in [
        ("[dynamodb]\nlisten = '0.0.0.0:8000'".to_owned(), "need signatures"),
        (format!("{SIGNERS}[dynamodb]\naccess = 'api'"), "sign for another service"),
        (format!("{SIGNERS}[dynamodb]\naccess = 'sd'"), "unknown sigv4 'sd'"),
        ("[dynamodb]\nendpoint = 'nowhere'".to_owned(), "is no endpoint"),
        ("[dynamodb]\nendpoint = 'http://h/path'".to_owned(), "is no endpoint"),
        ("[dynamodb]\nendpoint = 'aws:eu-west-1'".to_owned(), "signed requests only"),
        ("[dynamodb]\naccount = '1'".to_owned(), "is no account"),
        ("[dynamodb]\nregion = 'a b'".to_owned(), "is no region"),
        ("[dynamodb]\nthreads = 0".to_owned(), "more than 0"),
        ("[dynamodb]\nqueue = 1000000".to_owned(), "at most 65536"),
        ("[dynamodb]\nttl_sweep = '0s'".to_owned(), "more than 0"),
        (
            "[dynamodb]\nendpoint = 'http://h'\n[[dynamodb.table]]\nname = 'todo'\nhash = 'pk:S'".to_owned(),
            "embedded engine only",
        ),
        ("[dynamodb]\nfollow = true".to_owned(), "the embedded engine needs no following"),
        ("[dynamodb]\nendpoint = 'http://h'\nfollow = true\nitems = { ttl = '0' }".to_owned(), "both caches are off"),
        (
            "[dynamodb]\nendpoint = 'http://h'\nfollow = true\nitems = { size = '0' }\nqueries = { ttl = '0s' }"
                .to_owned(),
            "both caches are off",
        ),
        ("[dynamodb]\nendpoint = 'http://h'\nfollow = { poll = '0s' }".to_owned(), "more than 0"),
        ("[dynamodb]\nendpoint = 'http://h'\nfollow = { lag = '0s' }".to_owned(), "more than 0"),
        (
            "[dynamodb]\nendpoint = 'http://h'\nfollow = { lag = '1s', poll = '2s' }".to_owned(),
            "lag (1s) is less than twice poll (2s)",
        ),
        ("[dynamodb]\nendpoint = 'http://h'\nfollow = { every = '2s' }".to_owned(), "every"),
        (table("range = 'sk'"), "is no key"),
        (table("range = 'sk:X'"), "is no key"),
        (table("read = { units = 1 }"), "come together"),
        (table("read = { units = 0 }\nwrite = { units = 1 }"), "1 to 1000000"),
        (table("read = { min = 2, max = 1 }\nwrite = { units = 1 }"), "at most 'max'"),
        (table("read = { min = 2 }\nwrite = { units = 1 }"), "come together"),
        (table("read = { min = 1, max = 2, target = 95 }\nwrite = { units = 1 }"), "from 20 to 90"),
        (table("[[dynamodb.table.index]]\nname = 'idx'"), "a local index has a sort key"),
        (table("[[dynamodb.table.index]]\nname = 'idx'\nhash = 'pk:N'"), "another type"),
        (table("[[dynamodb.table.index]]\nname = 'i'\nhash = 'a:S'"), "is no name"),
        (table("[[dynamodb.table]]\nname = 'todo'\nhash = 'pk:S'"), "is taken"),
        (table("ttl = ''"), "an attribute's name"),
        (table("capacity = 1"), "capacity"),
    ] {
        let found = read(&text).err().unwrap_or_else(|| panic!("taken: {text}"));
        assert!(found.contains(want), "{text}\n{found}");
    }
}
