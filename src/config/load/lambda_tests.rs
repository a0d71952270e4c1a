//! Tests of `[local_lambda]` and `[[lambda]]`: what is written is what runs, each rule broken once.

use std::time::Duration;

use super::*;
use crate::config::compiled::LambdaRuntime;

const ORIGIN: &str = "[[origin]]\nname = 'o'\nurl = 'http://h'\n";
const SIGNER: &str = "[[sigv4]]\nname = 's'\nservice = 'lambda'\nregions = ['us-east-1']\n[[sigv4.key]]\nid = 'AKIDEXAMPLEEXAMPLE'\nsecret = 'file:secret'\n";

fn read(text: &str) -> Result<Config, Vec<String>> {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::create_dir_all(dir.path().join("code/lib")).unwrap();
    for (name, text) in [
        ("code/app.py", "x"),
        ("code/lib/a.py", ""),
        ("code.zip", "PK"),
        ("secret", "from a file\n"),
        ("filter.json", "{\"size\":[1]}\n"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let one = |error: &ConfigError| match error {
        ConfigError::Invalid(d) => format!("{}:{} {}", d.line, d.column, d.message),
        other => other.to_string(),
    };
    let text = format!("{ORIGIN}{text}");
    parse(&text, "t.toml", dir.path()).map_err(|errors| errors.iter().map(one).collect())
}

#[test]
fn what_is_written_is_what_runs() {
    let text = r#"
        [local_lambda]
        listen = "0.0.0.0:9001"
        access = "s"
        api = false
        region = "eu-west-1"
        account = "123456789012"
        concurrency = 50
        freeze = false
        idle = "1m"
        endpoints = { dynamodb = "http://127.0.0.1:8000" }
        credentials = { access_key = "file:secret", secret_key = "file:secret" }
        python = "venv/bin/python"
        [local_lambda.limits]
        timeout = "1m"
        memory = "512MiB"
        payload = "1MiB"
        [[lambda]]
        name = "todo-api"
        runtime = "python3.13"
        handler = "app.handler"
        code = "code"
        memory = "256MiB"
        timeout = "30s"
        environment = { TABLE = "todo", SECRET = "file:secret" }
        concurrency = 10
        retries = 1
        event_age = "1h"
        on_failure = "https://api.example/failed"
        events = [
            { table = "todo", batch = 7, parallel = 4, window = "2s", start = "latest", filter = '{"eventName":["INSERT"]}', bisect = true,
              report_failures = true, retries = 3, age = "1h", on_failure = "arn:aws:lambda:eu-west-1:123456789012:function:own" },
            { table = "other", filter = "filter.json" },
        ]
        [dynamodb]
        [[lambda]]
        name = "own"
        runtime = "provided.al2023"
        code = "code.zip"
        command = ["/bin/own", "x"]
        "#;
    let config = read(&format!("{SIGNER}{text}")).unwrap();
    let local = config.local_lambda.as_ref().unwrap();
    assert_eq!((local.listen, local.access), (Some("0.0.0.0:9001".parse().unwrap()), Some(0)));
    assert_eq!((local.api, local.freeze, local.concurrency, local.idle), (false, false, 50, Duration::from_secs(60)));
    assert_eq!((local.region.as_str(), local.account.as_str()), ("eu-west-1", "123456789012"));
    assert_eq!(local.endpoints, [("dynamodb".to_owned(), "http://127.0.0.1:8000".to_owned())]);
    assert_eq!(local.credentials.as_ref().unwrap().access_key.expose(), "from a file");
    assert!(local.python.starts_with('/') && local.python.ends_with("venv/bin/python") && local.node == "node");
    assert_eq!(
        (local.limits.timeout, local.limits.memory, local.limits.payload),
        (Duration::from_secs(60), 512, 1 << 20)
    );
    assert_eq!((local.limits.event, local.limits.init), (1 << 20, Duration::from_secs(10)));
    let [todo, own] = local.functions.as_slice() else { panic!("two functions") };
    assert_eq!(todo.runtime, LambdaRuntime::Python("python3.13".into()));
    assert_eq!((todo.handler.as_str(), todo.memory, todo.timeout), ("app.handler", 256, Duration::from_secs(30)));
    let environment: Vec<_> =
        todo.environment.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect();
    assert_eq!((environment, todo.concurrency), (vec![("SECRET", "from a file"), ("TABLE", "todo")], Some(10)));
    assert_eq!((own.handler.as_str(), own.memory, own.timeout), ("bootstrap", 128, Duration::from_secs(3)));
    assert_eq!((own.command.len(), own.concurrency), (2, None));
    assert_eq!((todo.retries, todo.event_age), (1, Duration::from_secs(3600)));
    assert_eq!(todo.on_failure.as_deref(), Some("https://api.example/failed"));
    let [inserts, other] = todo.events.as_slice() else { panic!("two tables") };
    assert_eq!((inserts.table.as_str(), inserts.batch, inserts.latest), ("todo", 7, true));
    assert_eq!((inserts.window, inserts.age), (Duration::from_secs(2), Some(Duration::from_secs(3600))));
    assert_eq!((inserts.bisect, inserts.report, inserts.retries), (true, true, Some(3)));
    assert_eq!(inserts.patterns[0].as_str(), r#"{"eventName":["INSERT"]}"#);
    assert!(inserts.on_failure.as_ref().unwrap().ends_with("function:own"));
    assert_eq!((inserts.parallel, other.parallel), (4, 1));
    assert_eq!((other.batch, other.window, other.latest), (100, Duration::ZERO, false));
    assert_eq!((other.bisect, other.report, other.retries, other.age), (false, false, None, None));
    assert_eq!(other.patterns[0].as_str(), r#"{"size":[1]}"#);
    assert_eq!((own.retries, own.event_age, &own.on_failure), (2, Duration::from_secs(21_600), &None));
    let watched: Vec<_> = config.sources.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert!(
        ["app.py", "a.py", "code.zip", "secret", "filter.json"].iter().all(|name| watched.contains(name)),
        "{watched:?}"
    );
    assert!(read("").unwrap().local_lambda.is_none());
    assert_eq!(read("[local_lambda]").unwrap().local_lambda.unwrap().limits.queue, 100_000);
}

#[test]
fn each_rule_broken_once() {
    let function = "[[lambda]]\nname = 'f'\nruntime = 'python3.13'\nhandler = 'app.handler'\ncode = 'code'\n";
    let own = "[[lambda]]\nname = 'f'\nruntime = 'provided'\n";
    let events = |rest: &str| format!("[dynamodb]\n{own}code = 'code'\nevents = [{{ table = '{rest}' }}]");
    for (text, want) in [
        ("[local_lambda]\nlisten = 'here'".to_owned(), "'here' is no address"),
        ("[local_lambda]\nlisten = '0.0.0.0:1'".to_owned(), "could run code here"),
        ("[local_lambda]\naccess = 't'".to_owned(), "unknown signer 't'"),
        ("[local_lambda]\nregion = 'a b'".to_owned(), "is no region"),
        ("[local_lambda]\naccount = '1'".to_owned(), "12 digits"),
        ("[local_lambda]\nconcurrency = 0".to_owned(), "must be more than 0"),
        ("[local_lambda]\nidle = '0s'".to_owned(), "must be more than 0"),
        ("[local_lambda]\nendpoints = { dynamodb = 'here' }".to_owned(), "'here' is no URL"),
        ("[local_lambda]\nendpoints = { 'a b' = 'http://h' }".to_owned(), "is no service"),
        ("[local_lambda]\ncredentials = { access_key = 'a', secret_key = 'b' }".to_owned(), "never written"),
        ("[local_lambda]\npython = ''".to_owned(), "names a program"),
        ("[local_lambda]\nlimits = { memory = '1MiB' }".to_owned(), "128MiB or more"),
        ("[local_lambda]\nlimits = { queue = 0 }".to_owned(), "must be more than 0"),
        (format!("{function}{function}"), "the name 'f' is taken"),
        (function.replace("'f'", "'a.b'"), "'a.b' is no name"),
        (function.replace("python3.13", "python2.7"), "unknown runtime 'python2.7'"),
        (function.replace("handler = 'app.handler'", ""), "needs a handler"),
        (function.replace("app.handler", "a b"), "is no handler"),
        (function.replace("'code'", "'none'"), "none"),
        (format!("{own}code = 'code'\ntimeout = '16m'"), "limits.timeout"),
        (format!("{own}code = 'code'\nmemory = '64MiB'"), "memory is 128MiB to 10240MiB"),
        (format!("{own}code = 'code'\nmemory = '200MB'"), "in whole MiB"),
        (format!("{own}code = 'code'\nconcurrency = 1001"), "local_lambda.concurrency"),
        (format!("{own}code = 'code'\nenvironment = {{ AWS_REGION = 'x' }}"), "cannot be set"),
        (format!("{own}code = 'code'\nenvironment = {{ A-B = 'x' }}"), "letters, digits and '_'"),
        (format!("{own}code = 'code'\nenvironment = {{ AB = '{}' }}", "x".repeat(4095)), "4096 are allowed"),
        (format!("{own}code = 'code'\ncommand = ['']"), "a program and its arguments"),
        (format!("{function}command = ['x']").replace("python3.13", "javascript"), "nothing is started"),
        (format!("{own}code = 'code'\nretries = 3"), "at most 2"),
        (format!("{own}code = 'code'\nevent_age = '1s'"), "1m to 6h"),
        (format!("{own}code = 'code'\non_failure = 'somebody'"), "no function's ARN and no URL"),
        (format!("{own}code = 'code'\nhandle = 'x'"), "handle"),
        (format!("{own}code = 'code'\nevents = [{{ table = 't' }}]"), "there are no tables"),
        (events(""), "names a table"),
        (events("t' }, { table = 't"), "the table 't' is here twice"),
        (events("t', batch = 0, start = 'latest"), "1 to 10000"),
        (events("t', parallel = 11, start = 'latest"), "is 1 to 10"),
        (events("t', window = '6m"), "at most 5m"),
        (events("t', retries = 10001, start = 'latest"), "at most 10000"),
        (events("t', age = '1s"), "1m to 7d"),
        (events("t', on_failure = 'somebody"), "no function's ARN and no URL"),
        (events("t', filter = 'none.json"), "cannot read"),
        (events("t', filter = '{}"), "at least one member"),
        (events("t', start = 'earliest"), "earliest"),
    ] {
        let errors = read(&text).err().unwrap_or_else(|| panic!("taken: {text}"));
        assert!(errors.iter().any(|error| error.contains(want)), "{text}\n{errors:?}");
    }
}
