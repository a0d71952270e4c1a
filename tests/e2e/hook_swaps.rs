//! Hook swaps: functions that change while they are called.
//!
//! In: a call that waits for something, other code of the same name. Out: the answer of the code that was called; the new one's from
//! then on. Never: a call that is dropped.

use parking_lot::Mutex;
use std::sync::{Arc, mpsc};

use crate::harness::hooked::pop;
use crate::harness::{Origin, Pop, Setup, until};

/// Compiled code on disk is taken only as this PoP wrote it: after any damage it is compiled anew, and what is asked for is answered.
#[test]
fn forged_artifacts_are_compiled_anew_at_a_start() {
    let origin = Origin::fixed("", "from the origin");
    let answer = |word: &str| format!("exports.handler = async () => ({{ status: '200', body: '{word}' }});\n");
    let functions = [("f", answer("of f")), ("g", answer("of g"))];
    let mut pop = pop(&origin, &functions, "", "viewer_request = \"f\"");
    assert_eq!(pop.get("/a").text(), "of f");
    let files = |pop: &Pop| {
        let dir = std::fs::read_dir(pop.dir().join("state/functions")).unwrap();
        let files = dir.map(|entry| entry.unwrap().path()).filter(|path| path.is_file() && !path.ends_with("key"));
        files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect::<Vec<_>>()
    };
    let whole = files(&pop);
    assert!(whole.len() >= 2, "one of each function: {whole:?}", whole = whole.len());
    for about in ["a byte", "half", "nothing", "the other's"] {
        for (i, (path, bytes)) in whole.iter().enumerate() {
            let mut bytes = bytes.clone();
            match about {
                "a byte" => {
                    let at = bytes.len() / 2;
                    bytes[at] ^= 1;
                }
                "half" => bytes.truncate(bytes.len() / 2),
                "nothing" => bytes.clear(),
                _ => bytes.clone_from(&whole[(i + 1) % whole.len()].1),
            }
            std::fs::write(path, bytes).unwrap();
        }
        let damaged = files(&pop);
        pop.restart();
        assert_eq!(pop.get("/a").text(), "of f", "{about}");
        let now = files(&pop);
        assert!(damaged.iter().all(|old| !now.contains(old)), "{about}: none of the damaged ones is left");
    }
}

/// A Lambda@Edge function that answers `word` and what it fetches.
fn fetching(word: &str, url: &str) -> String {
    format!(
        "exports.handler = async () => {{\n  const answer = await fetch('{url}');\n  \
         return {{ status: '200', body: '{word} ' + await answer.text() }};\n}};\n"
    )
}

#[test]
fn a_call_in_flight_ends_with_the_code_that_it_began_with() {
    for (name, more, after) in [
        ("fresh", "", "hooks.viewer_request = \"f\""),
        ("reused", "reuse = 100\n", "hooks.viewer_request = \"f\""),
        ("removed", "reuse = 100\n", ""),
    ] {
        // `/slow` waits until it is told to go on.
        let (go, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let origin = Origin::start(move |x| {
            if x.request.target == "/slow" {
                let _ = wait.lock().recv();
            }
            x.reply("200 OK", "", "from the origin");
        });
        let mut setup = Setup::new("");
        let file = setup.dir().join("f.js");
        std::fs::write(&file, fetching("old", &format!("{}/slow", origin.url()))).unwrap();
        let grants = format!(
            "grants = {{ fetch = {{ allow = [\"127.0.0.1:{}\"], private = [\"127.0.0.0/8\"], timeout = \"1m\" }} }}\ntimeout = \"1m\"\n",
            origin.address.port()
        );
        let site = format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\ncache = false\n", origin.config("o"));
        let function = format!("[[function]]\nname = \"f\"\nfile = \"f.js\"\n{more}{grants}");
        setup.rest = format!("{function}{site}hooks.viewer_request = \"f\"\n");
        let pop = setup.start();

        let mut called = pop.raw();
        called.send("GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        origin.wait(1);
        let (rest, want) = match after {
            "" => (site, "from the origin"),
            attached => {
                std::fs::write(&file, fetching("new", &format!("{}/quick", origin.url()))).unwrap();
                (format!("{function}{site}{attached}\n"), "new from the origin")
            }
        };
        let reply = pop.reload(&rest);
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert_eq!(pop.get("/b").text(), want, "{name}: the next call is the new code's");

        go.send(()).unwrap();
        let reply = called.reply("GET");
        assert_eq!((reply.status, reply.text().as_str()), (200, "old from the origin"), "{name}");
        assert_eq!(pop.get("/c").text(), want, "{name}");
        until("the log", || (pop.access_log().len() == 3).then_some(()));
        let failed = pop.access_log().into_iter().filter(|line| line["status"] != 200).count();
        assert_eq!(failed, 0, "{name}");
    }
}
