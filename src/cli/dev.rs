//! Dev: one PoP with a demo origin, and lines to try.
//!
//! In: a port. Out: a PoP that serves at once. Never: a file that has to be written first.

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

use crate::hooks::{Event, oci};
use crate::proxy::server::Start;

use super::admin::Colour;
use super::function::watching::{self, Attached};
use super::{Dev, Run, demo, own, run};

// === impl Dev ===
impl Dev {
    pub fn run(self) -> ExitCode {
        if let Some(config) = self.config {
            return Run { config, upgrade: false }.run();
        }
        let colour = Colour::of(&std::io::stderr());
        let wrong = |words: &dyn std::fmt::Display| {
            eprintln!("{} {words}", colour.paint("31;1", "error:"));
            ExitCode::FAILURE
        };
        let origin = match demo::start() {
            Ok(origin) => origin,
            Err(error) => return wrong(&format!("cannot start the demo origin: {error}")),
        };
        // Before anything is written that another one, which has them, would take for a change of its own.
        for port in [self.port, self.admin_port] {
            if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                return wrong(&format!(
                    "cannot listen on 127.0.0.1:{port}: {error}\n  `ss -ltnp` shows who listens there; --port and --admin-port choose \
                     other ports"
                ));
            }
        }
        let state = std::env::temp_dir().join(format!("rimward-dev-{}", self.port));
        // Everybody may write to its parent.
        if let Err(error) = own::directory(&state) {
            return wrong(&error);
        }
        let attached = match watching::attach(&self.function, &state) {
            Ok(attached) => attached,
            Err(error) => {
                wrong(&error);
                return ExitCode::from(error.exit_code());
            }
        };
        let mut text = configuration(
            self.port,
            self.admin_port,
            &origin.to_string(),
            &state.display().to_string(),
            &hooks(&attached),
        );
        text.push_str(&functions(&attached));
        // A file, because files are what is watched: the functions with it.
        let file = state.join("dev.toml");
        if let Err(error) = std::fs::write(&file, &text) {
            return wrong(&format!("{}: {error}", file.display()));
        }
        let config = match oci::load(&[&file], run::told) {
            Ok(config) => config,
            Err(errors) => {
                eprintln!("{}", errors.render(colour.0));
                return ExitCode::from(run::WRONG);
            }
        };
        run::logging(&config);
        let (port, admin) = (self.port, self.admin_port);
        let start = Start { path: Some(file), revision: None, upgrade: false };
        let served = run::serve(config, start, move |_| {
            println!("{}", welcome(port, admin, &attached, colour));
            watching::rebuild(attached);
        });
        run::finish(served, |_| "--port and --admin-port choose other ports".to_owned())
    }
}

fn configuration(port: u16, admin: u16, origin: &str, state: &str, hooks: &str) -> String {
    format!(
        r#"[pop]
code = "DEV"
listen = ["127.0.0.1:{port}"]
state_dir = {state:?}
drain = "2s"

[[origin]]
name = "demo"
url = "http://{origin}"

[[behavior]]
match = "*"
origin = "demo"
compress = true
cache = {{ ttl = "0s", stale_if_error = "1h", tag_headers = ["surrogate-key"] }}
{hooks}
[admin]
address = "127.0.0.1:{admin}"

[observe]
access_log = {{ format = "json", to = "stdout" }}
"#
    )
}

/// The tables of the functions, and their hooks: the demo's only behavior comes before them.
fn functions(attached: &[Attached]) -> String {
    let mut text = String::new();
    for Attached { name, file, .. } in attached {
        text.push_str(&format!("\n[[function]]\nname = {name:?}\nfile = {:?}\n", file.display().to_string()));
    }
    text
}

/// `hooks` of the demo's behavior.
fn hooks(attached: &[Attached]) -> String {
    let mut chains = Vec::new();
    for event in Event::ALL {
        let names = attached.iter().filter(|one| one.event == event).map(|one| format!("{:?}", one.name));
        let names: Vec<String> = names.collect();
        if !names.is_empty() {
            chains.push(format!("{} = [{}]", event.as_str().replace('-', "_"), names.join(", ")));
        }
    }
    if chains.is_empty() { String::new() } else { format!("hooks = {{ {} }}\n", chains.join(", ")) }
}

fn welcome(port: u16, admin: u16, attached: &[Attached], colour: Colour) -> String {
    let at = format!("http://127.0.0.1:{port}");
    let line = |what: &str, command: String| format!("  {:<12}{}", what, colour.paint("36", &command));
    let mut lines: Vec<String> = attached
        .iter()
        .map(|one| format!("  {} runs at {}: change {} and ask again", one.name, one.event, one.source.display()))
        .collect();
    if !attached.is_empty() {
        lines.push(line("try", format!("curl -i {at}/docs/       # the origin says what it was asked")));
        lines.push(String::new());
    }
    let lines = lines.join("\n");
    [
        lines,
        format!("{} serves {at} from a demo origin. Try, in another terminal:\n", colour.paint("1", "rimward")),
        line("a miss", format!("curl -i {at}/")),
        line("a hit", format!("curl -i {at}/            # cache-status: DEV; hit")),
        line("once slow", format!("curl -i {at}/slow        # two seconds; then none")),
        line("never kept", format!("curl -i {at}/private     # cache-status says why")),
        line("a stream", format!("curl -N {at}/stream      # events as they come")),
        line("a purge", format!("curl --json '{{\"tag\":\"demo\"}}' http://127.0.0.1:{admin}/purge")),
        line("metrics", format!("curl http://127.0.0.1:{admin}/metrics")),
        line("live", format!("rimward top --admin http://127.0.0.1:{admin}")),
        line("a browser", format!("http://127.0.0.1:{admin}/console")),
        "\nOne line of JSON follows for each request. Ctrl-C ends.\n".to_owned(),
    ]
    .join("\n")
}
