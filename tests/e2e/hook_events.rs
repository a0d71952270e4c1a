//! Hook events: which functions run in each situation of CloudFront's table, and which do not.
//!
//! In: a function at each event, a request that ends early or late. Out: the calls in the log, in order. Never: what they change
//! (`hooks`), how they fail (`hook_limits`).

use crate::harness::hooked::{ALL, calls, marks, pop, ran};
use crate::harness::wat::Flat;
use crate::harness::{Origin, Pop, Setup, until};

const EACH: [&str; 4] = ["viewer-request", "origin-request", "origin-response", "viewer-response"];

/// The events of the last line of the log, once it has so many.
fn events(pop: &Pop, lines: usize) -> Vec<String> {
    calls(pop, lines).into_iter().map(|(event, _)| event).collect()
}

/// Developer Guide, "CloudFront events that can trigger a function": a viewer-request function runs once a request is let in.
#[test]
fn what_the_edge_answers_by_itself_runs_no_function() {
    for (behavior, method, status) in [
        ("viewer_protocol = \"redirect-to-https\"", "GET", 301),
        ("viewer_protocol = \"https-only\"", "GET", 403),
        ("methods = [\"GET\"]", "DELETE", 403),
        ("access = { address = \"elsewhere\" }", "GET", 403),
    ] {
        let origin = Origin::fixed("", "hello");
        let behavior = format!("{behavior}\n[[address_list]]\nname = \"elsewhere\"\nnets = [\"192.0.2.0/24\"]\n");
        let (behavior, list) = behavior.split_once('\n').unwrap();
        let pop = pop(&origin, &marks(), behavior, &format!("{ALL}\n{list}"));
        let reply = pop.send(method, "/a", &[], b"");
        assert_eq!((reply.status, ran(&reply)), (status, (false, false)), "{behavior}: {}", reply.text());
        assert_eq!(events(&pop, 1), [""; 0], "{behavior}");
        assert_eq!(origin.count(), 0, "{behavior}");
    }
}

/// A page is nobody's request: the functions of its own behavior run at its origin, those of viewers do not.
#[test]
fn an_error_page_runs_its_origins_functions() {
    let origin = Origin::start(|x| match x.request.target.as_str() {
        "/page" => {
            let asked = x.request.field("x-oreq").unwrap_or("none").to_owned();
            x.reply("200 OK", "Cache-Control: max-age=60\r\n", asked);
        }
        _ => x.reply("404 Not Found", "", "none"),
    });
    let mut setup = Setup::new(origin.config("o"));
    for (name, text) in marks() {
        std::fs::write(setup.dir().join(format!("{name}.wat")), text).unwrap();
        setup.rest.push_str(&format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.wat\"\n"));
    }
    setup.rest.push_str(&format!(
        "[[behavior]]\nmatch = \"/page\"\norigin = \"o\"\n[behavior.hooks]\n{ALL}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\nerrors = [{{ status = [404], page = \"/page\" }}]\n"
    ));
    let pop = setup.start();
    let reply = pop.get("/a");
    assert_eq!((reply.status, reply.text().as_str()), (404, "1"), "the page as origin-request asked for it");
    assert_eq!(origin.last().field("x-vreq"), None);
    pop.counted("rimward_function_calls_total", &["function=\"oreq\""], 1.0);
    pop.counted("rimward_function_calls_total", &["function=\"ores\""], 1.0);
    pop.counted("rimward_function_calls_total", &["function=\"vreq\""], 0.0);
    pop.counted("rimward_function_calls_total", &["function=\"vres\""], 0.0);
}

/// The origin's failure is seen where an answer came; what viewers get is the stored answer, which was none.
#[test]
fn a_stale_answer_in_a_failures_place_is_shown_to_viewer_response_functions() {
    for (fails, seen) in [("503 Busy", &EACH[..]), ("reset", &["viewer-request", "origin-request", "viewer-response"])]
    {
        let origin = Origin::start(move |x| match (x.nth, fails) {
            (0, _) => x.reply("200 OK", "Cache-Control: max-age=1, stale-if-error=600\r\n", "good"),
            (_, "reset") => x.reset(),
            (_, status) => x.reply(status, "", "bad"),
        });
        let pop = pop(&origin, &marks(), "", ALL);
        let mut lines = 1;
        pop.get("/a");
        let stale = until("the origin to be asked again", || {
            lines += 1;
            let reply = pop.get("/a");
            (origin.count() > 1).then_some(reply)
        });
        assert_eq!((stale.status, stale.text().as_str(), ran(&stale)), (200, "good", (true, true)), "{fails}");
        assert_eq!(events(&pop, lines), seen, "{fails}");
    }
}

/// Developer Guide, "Custom error responses": they stand for what an origin answers.
#[test]
fn an_error_that_a_viewer_request_function_answers_gets_no_error_page() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "page");
    let handler = "function handler(event) { return { statusCode: 404, statusDescription: 'Not Found', \
                   body: { encoding: 'text', data: 'own' } }; }\n";
    let native = Flat::new().respond(404, &[], "own").wat();
    for text in [handler.to_owned(), native] {
        let errors = "errors = [{ status = [404], page = \"/page\" }]";
        let pop = pop(&origin, &[("answer", text)], errors, "viewer_request = \"answer\"");
        let reply = pop.get("/a");
        assert_eq!((reply.status, reply.text().as_str()), (404, "own"));
    }
    assert_eq!(origin.count(), 0);
}
