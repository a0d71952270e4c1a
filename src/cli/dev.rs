//! Dev: one PoP with a demo origin, and lines to try.
//!
//! In: a port. Out: a PoP that serves at once. Never: a file that has to be written first.

use std::process::ExitCode;

use crate::config;
use crate::proxy::server::Start;

use super::admin::Colour;
use super::{Dev, demo, run};

// === impl Dev ===
impl Dev {
    pub fn run(self) -> ExitCode {
        let colour = Colour::of(&std::io::stderr());
        let origin = match demo::start() {
            Ok(origin) => origin,
            Err(error) => {
                eprintln!("{} cannot start the demo origin: {error}", colour.paint("31;1", "error:"));
                return ExitCode::FAILURE;
            }
        };
        let state = std::env::temp_dir().join(format!("rimward-dev-{}", self.port));
        let text = configuration(self.port, self.admin_port, &origin.to_string(), &state.display().to_string());
        let config = match config::parse(&text, "dev", &std::env::temp_dir()) {
            Ok(config) => config,
            Err(errors) => {
                eprintln!("{}", errors.render(colour.0));
                return ExitCode::FAILURE;
            }
        };
        run::logging(&config);
        let (port, admin) = (self.port, self.admin_port);
        run::finish(run::serve(config, Start::default(), move |_| println!("{}", welcome(port, admin, colour))))
    }
}

fn configuration(port: u16, admin: u16, origin: &str, state: &str) -> String {
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

[admin]
address = "127.0.0.1:{admin}"

[observe]
access_log = {{ format = "json", to = "stdout" }}
"#
    )
}

fn welcome(port: u16, admin: u16, colour: Colour) -> String {
    let at = format!("http://127.0.0.1:{port}");
    let line = |what: &str, command: String| format!("  {:<12}{}", what, colour.paint("36", &command));
    [
        format!("{} serves {at} from a demo origin. Try, in another terminal:\n", colour.paint("1", "rimward")),
        line("a miss", format!("curl -i {at}/")),
        line("a hit", format!("curl -i {at}/            # cache-status: DEV; hit")),
        line("once slow", format!("curl -i {at}/slow        # two seconds; then none")),
        line("never kept", format!("curl -i {at}/private     # cache-status says why")),
        line("a stream", format!("curl -N {at}/stream      # events as they come")),
        line("a purge", format!("curl --json '{{\"tag\":\"demo\"}}' http://127.0.0.1:{admin}/purge")),
        line("metrics", format!("curl http://127.0.0.1:{admin}/metrics")),
        line("live", format!("rimward top --admin http://127.0.0.1:{admin}")),
        "\nOne line of JSON follows for each request. Ctrl-C ends.\n".to_owned(),
    ]
    .join("\n")
}
