//! Tests of `rimward keys`: arguments in, requests and words out.

use super::*;
use crate::admin::fixture::Pop;
use crate::admin::keys::PlanUsage;
use crate::cli::{Cli, Command};
use clap::Parser;

fn keys(pop: &Pop, line: &[&str]) -> Result<String, Failed> {
    let url = pop.url();
    let line = ["rimward", "keys"].into_iter().chain(line.iter().copied()).chain(["--admin", &url]);
    let Command::Admin(crate::cli::Admin::Keys(keys)) = Cli::try_parse_from(line).unwrap().command else {
        unreachable!("a keys command")
    };
    let mut out = Vec::new();
    run(&keys, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_key_from_its_making_to_its_end() {
    let pop = Pop::start(None);
    let value = keys(&pop, &["create", "al ice/ü", "--plan", "gold"]).unwrap();
    assert_eq!(&*pop.key(value.trim_end()).unwrap().name, "al ice/ü");
    let listed = keys(&pop, &["list"]).unwrap();
    let today = listed.lines().last().unwrap().split_whitespace().last().unwrap().to_owned();
    let want = format!(
        "NAME      STATE    PLANS  MADE\n\
         fixed     enabled  gold   configuration\n\
         al ice/ü  enabled  gold   {today}\n"
    );
    assert_eq!(listed, want);
    assert_eq!(keys(&pop, &["revoke", "al ice/ü"]).unwrap(), "revoked al ice/ü\n");
    assert!(!pop.key(value.trim_end()).unwrap().enabled);
    assert_eq!(keys(&pop, &["enable", "al ice/ü"]).unwrap(), "enabled al ice/ü\n");
    assert_eq!(keys(&pop, &["revoke", "al ice/ü", "--delete"]).unwrap(), "deleted al ice/ü\n");
    assert!(pop.key(value.trim_end()).is_none());
    let made: Created = serde_json::from_str(&keys(&pop, &["create", "bob", "--json"]).unwrap()).unwrap();
    assert!(pop.key(&made.value).is_some());
    assert!(keys(&pop, &["list", "--json"]).unwrap().contains("\"name\": \"bob\""));
}

#[test]
fn usage_is_told_by_day() {
    let pop = Pop::start(None);
    let told = keys(&pop, &["usage", "fixed", "--from", "2026-11-25", "--to", "2026-11-26"]).unwrap();
    assert_eq!(
        told,
        "gold: 100 a month, counted by this node alone\nDATE        USED  LEFT\n2026-11-25  0     100\n2026-11-26  3     97\n"
    );
    let shared = PlanUsage { plan: "g".into(), limit: 5, period: "DAY".into(), shared: true, days: Vec::new() };
    let mut out = Vec::new();
    usage_table(&mut out, &UsageAnswer { name: "k".into(), plans: vec![shared] }).unwrap();
    assert!(out.starts_with(b"g: 5 a day, counted by all nodes together\n"));
    keys(&pop, &["create", "free"]).unwrap();
    assert!(keys(&pop, &["usage", "free"]).unwrap().contains("nothing is counted"));
    let json = keys(&pop, &["usage", "fixed", "--from", "2026-11-26", "--to", "2026-11-26", "--json"]).unwrap();
    assert!(json.contains("\"remaining\": 97"), "{json}");
    let future = keys(&pop, &["usage", "fixed", "--from", "9999-12-30"]).unwrap_err().to_string();
    assert!(future.contains("9999-12-30 is in the future: nothing is counted there yet"), "{future}");
    for wrong in ["1900-01-01", "2026-02-30", "yesterday"] {
        let error =
            Cli::try_parse_from(["rimward", "keys", "usage", "fixed", "--from", wrong]).unwrap_err().to_string();
        assert!(error.contains("write a day as YYYY-MM-DD, from 1970-01-01 to 9999-12-31"), "{error}");
    }
}

#[test]
fn a_file_of_keys_is_imported() {
    let pop = Pop::start(None);
    let file = tempfile::NamedTempFile::new().unwrap();
    let (one, two) = ("1".repeat(20), "2".repeat(20));
    std::fs::write(file.path(), format!("key,name,enabled,usageplanIds\n{one},a,TRUE,c7\n{two},b,FALSE,\n")).unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(keys(&pop, &["import", path, "--map", "c7=gold"]).unwrap(), "2 keys made\n");
    assert_eq!(pop.key(&one).unwrap().plans, ["gold"]);
    assert!(!pop.key(&two).unwrap().enabled);
    let again = "0 keys made, 2 were there already and stay as they are\n";
    assert_eq!(keys(&pop, &["import", path, "--map", "c7=gold"]).unwrap(), again);
    let three = "3".repeat(20);
    let rows = format!("{one},a,TRUE,c7\n{one},c,TRUE,\n{three},d,TRUE,c7\nshort,e,TRUE,\n{three},f,TRUE,\n");
    std::fs::write(file.path(), format!("key,name,enabled,usageplanIds\n{rows}")).unwrap();
    let failed = keys(&pop, &["import", path]).unwrap_err();
    let text = failed.to_string();
    assert!(text.starts_with("1 key was made, 1 was there already and stays as it is, 3 were not:\n"), "{text}");
    for says in [
        "\n  line 3, c: another key, \"a\", has this value already; choose another",
        "\n  line 4, d: there is no plan \"c7\": write --map c7=PLAN; there are: gold, bronze",
        "\n  line 5, e: a key is 20 to 128 letters and digits",
    ] {
        assert!(text.contains(says), "{text}");
    }
    assert!(!text.contains(&one) && !text.contains("`value`"), "{text}");
    assert_eq!(failed.exit_code(), 1);
    let twice = keys(&pop, &["import", path, "--map", "c7=gold", "--map", "c7=bronze"]).unwrap_err();
    assert_eq!(twice.to_string(), "--map c7=… is written twice: an id of the file is one plan here");
    assert_eq!(twice.exit_code(), 2);
    std::fs::write(file.path(), "key\n").unwrap();
    let failed = keys(&pop, &["import", path]).unwrap_err();
    assert!(failed.to_string().contains(":1: there is no column \"name\""), "{failed}");
    assert_eq!(failed.exit_code(), 2);
    assert_eq!(keys(&pop, &["import", "/nonexistent"]).unwrap_err().exit_code(), 2);
}

#[test]
fn failures_have_the_servers_words_and_a_code() {
    let pop = Pop::start(None);
    for (line, says, code) in [
        (&["create", "n", "--plan", "silver"][..], "there are: gold", 2),
        (&["create", "fixed"], "in the configuration", 1),
        (&["revoke", "none"], "there is no key \"none\"", 1),
        (&["revoke", "none", "--delete"], "there is no key", 1),
        (&["usage", "none"], "there is no key \"none\"\n", 1),
    ] {
        let failed = keys(&pop, line).unwrap_err();
        assert!(failed.to_string().contains(says), "{failed}");
        assert_eq!(failed.exit_code(), code, "{failed}");
    }
}
