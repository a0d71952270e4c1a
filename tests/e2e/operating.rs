//! Operating: `rimward top` and `rimward dev`, as somebody at a terminal has them.
//!
//! In: a PoP with known traffic; the lines that `dev` prints. Out: the table's numbers; what each line shows. Never: a terminal.

use crate::harness::names::REQUESTS;
use crate::harness::pop::{TOKEN, free_port, run};
use crate::harness::{Origin, PATIENCE, Pop, until};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// The columns of the row that begins with `name`, as far as they have no unit.
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(name));
    line.unwrap_or_else(|| panic!("no row {name} in\n{table}")).split_whitespace().collect()
}

#[test]
fn top_shows_what_happened_between_its_two_readings() {
    let good = Origin::fixed("Cache-Control: max-age=600\r\n", "hello");
    let bad = Origin::start(|x| x.reply("500 Internal", "", "bad"));
    let pop = Arc::new(Pop::start(format!(
        "{}{}[[behavior]]\nname = \"broken\"\nmatch = \"/broken\"\norigin = \"bad\"\ncache = false\n\
         [[behavior]]\nname = \"shop\"\nmatch = \"*\"\norigin = \"good\"\n",
        good.config("good"),
        bad.config("bad")
    )));
    // Counted before the first reading, so no part of the table.
    pop.get("/before");
    pop.get("/before");
    let counted = |pop: &Pop, all: f64| until("the requests", || (pop.metric(REQUESTS, &[]) >= all).then_some(()));
    counted(&pop, 2.0);
    // Between `top` and the admin API stands one that has all the traffic come between the two readings.
    let behind = Arc::clone(&pop);
    let between = Origin::start(move |x| {
        assert_eq!(x.request.target, "/top");
        if x.nth == 1 {
            (0..4).for_each(|_| _ = behind.get("/a"));
            (0..2).for_each(|_| _ = behind.get("/broken"));
            counted(&behind, 8.0);
        }
        let totals = behind.admin("GET", "/top", "");
        x.reply("200 OK", "Content-Type: application/json\r\n", totals.body);
    });
    let token = pop.dir().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    // Without a terminal it prints one table, asked to or not.
    let url = between.url();
    let (status, table, error) = run(&["top", "--admin", &url, "--token-file", token.to_str().unwrap()]);
    assert!(status.success(), "{error}");
    assert_eq!(between.count(), 2);
    assert!(table.starts_with("PoP TST  ") && table.lines().next().unwrap().ends_with("hit ratio 75.0 %"), "{table}");
    let (all, shop, broken) = (row(&table, "all"), row(&table, "shop"), row(&table, "broken"));
    let rate = |cell: &str| cell.parse::<f64>().unwrap();
    // Rates have three digits: six requests, four of them to one, two to the other.
    let near = |rate: f64, want: f64| (rate / want - 1.0).abs() < 0.02;
    let each = rate(all[1]) / 6.0;
    assert!(each > 0.0 && near(rate(shop[1]), 4.0 * each) && near(rate(broken[1]), 2.0 * each), "{table}");
    assert_eq!((all[2], shop[2], broken[2]), ("75.0", "75.0", "-"), "{table}");
    assert_eq!((all[3], shop[3], broken[3]), (broken[1], "0", broken[1]), "{table}");
    let (good, bad) = (row(&table, "good"), row(&table, "bad"));
    assert!(near(rate(good[1]), each) && near(rate(bad[1]), 2.0 * each), "{table}");
}

#[test]
fn top_says_which_pop_does_not_answer() {
    let nobody = format!("http://{}", free_port());
    let (status, _, error) = run(&["top", "--once", "--admin", &nobody]);
    assert!(!status.success());
    assert!(error.contains(&nobody), "{error}");
}

/// `rimward dev`, ended with the test.
struct Dev {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Dev ===
impl Dev {
    fn start(dir: &Path) -> Self {
        let (port, admin) = (free_port().port().to_string(), free_port().port().to_string());
        let mut child = Command::new(env!("CARGO_BIN_EXE_rimward"))
            .args(["dev", "--port", &port, "--admin-port", &admin])
            .env("TMPDIR", dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Dev { child, lines }
    }

    /// What it says how to try it: (words, command), down to the line that ends it.
    fn welcome(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("its next line");
            if line.contains("Ctrl-C ends") {
                return found;
            }
            if let Some((words, command)) = line.strip_prefix("  ").and_then(|line| line.split_at_checked(12)) {
                found.push((words.trim().to_owned(), command.to_owned()));
            }
        }
    }

    /// The access log's next line.
    fn logged(&self) -> serde_json::Value {
        let mut lines = std::iter::repeat_with(|| self.lines.recv_timeout(PATIENCE).expect("a line of JSON for each"));
        let line = lines.find(|line| !line.is_empty()).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

/// What a shell makes of a printed line.
fn shell(command: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_rimward")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let said = Command::new("sh")
        .args(["-c", command])
        .env("PATH", path)
        .env("no_proxy", "*")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(said.status.success(), "{command}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

#[test]
fn every_line_that_dev_prints_shows_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let dev = Dev::start(dir.path());
    let lines = dev.welcome();
    let line = |words: &str| {
        let found = lines.iter().find(|(said, _)| said == words);
        found.unwrap_or_else(|| panic!("no line for {words:?}: {lines:?}")).1.as_str()
    };
    // Each answer's Cache-Status, and its line in the log.
    let is = |words: &str, want: &str| {
        let said = shell(line(words));
        let status = said.lines().find_map(|line| line.strip_prefix("cache-status: ")).unwrap_or_default().to_owned();
        assert!(said.starts_with("HTTP/1.1 200") && status.contains(want), "{words}: {said}");
        let logged = dev.logged();
        assert_eq!(logged["status"], 200, "{logged}");
    };
    is("a miss", "DEV; fwd=uri-miss");
    is("a hit", "DEV; hit");
    is("once slow", "DEV; fwd=uri-miss");
    is("once slow", "DEV; hit");
    is("never kept", "detail=private");
    is("never kept", "detail=private");
    let purged = shell(line("a purge"));
    assert!(serde_json::from_str::<serde_json::Value>(&purged).is_ok(), "{purged}");
    is("a miss", "detail=purged");
    is("a hit", "DEV; hit");
    let events = shell(line("a stream"));
    assert_eq!(events.matches("data: event ").count(), 10, "{events}");
    assert_eq!(dev.logged()["path"], "/stream");
    let of = |metrics: &str, label: &str| {
        let samples = metrics.lines().filter(|line| line.starts_with(REQUESTS) && line.contains(label));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>()
    };
    let metrics = until("nine requests to be counted", || {
        Some(shell(line("metrics"))).filter(|metrics| of(metrics, "status_class=") >= 9.0)
    });
    assert_eq!((of(&metrics, "cache=\"hit\""), of(&metrics, "status_class=")), (3.0, 9.0), "{metrics}");
    let table = shell(line("live"));
    assert!(table.starts_with("PoP DEV  "), "{table}");
    let page = shell(&format!("curl -i {}", line("a browser")));
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<html"), "{page}");
    assert_eq!(lines.len(), 9, "a line that is not tried here: {lines:?}");
}
