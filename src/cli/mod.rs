//! Cli: what the operator may type.
//!
//! In: arguments, environment. Out: one [`Command`], or clap's help and errors (exit code 2). Never: does the work.
//!
//! Exit codes of every command: 0 done, 1 it failed, 2 the command line or configuration is wrong.

pub mod admin;
pub mod bundle;
pub mod client;
mod demo;
pub mod deploy;
mod dev;
pub mod draw;
pub mod function;
pub mod keys;
pub mod kv;
mod own;
pub mod revisions;
mod run;
pub mod sign;
pub mod table;
pub mod top;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A self-hosted edge: a caching reverse proxy in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "rimward",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  \
        rimward dev                                   try it: a PoP with a demo origin\n  \
        rimward run --config /etc/rimward/edge.toml   serve\n  \
        rimward check edge.toml                       is this configuration right?\n  \
        rimward purge --url https://shop.example/a    forget one page\n  \
        rimward deploy site/ --key deploy.key --wait  put a configuration on every PoP of a fleet\n  \
        rimward top                                   watch the traffic\n\n\
        Exit codes: 0 done, 1 it failed, 2 the command line or the configuration is wrong."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve with a configuration
    Run(Run),
    /// Serve a demo origin at once, without a file to write first
    Dev(Dev),
    /// Read a configuration and say what is wrong with it
    Check(Check),
    /// Print the configuration's JSON Schema, for editors
    Schema,
    Fn(function::Fn),
    Sign(sign::Sign),
    #[command(flatten)]
    Admin(Admin),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Signals: SIGHUP reads the configuration again, SIGUSR1 reopens the access log, SIGTERM drains and ends, \
                  SIGINT ends at once, SIGQUIT hands the sockets to a process started with --upgrade, drains and ends."
)]
pub struct Run {
    /// Configuration file, or a directory of them
    #[arg(long, short, value_name = "PATH", env = "RIMWARD_CONFIG")]
    pub config: PathBuf,
    /// Take the sockets over from the process that runs, which then drains: no request is lost
    #[arg(long)]
    pub upgrade: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rimward dev\n  \
    rimward dev --function index.js                        at the first event it handles\n  \
    rimward dev --function a.js@viewer-request --function b.wasm@viewer-response\n  \
    rimward dev --config edge.toml                         your own configuration\n\n\
    A changed function is loaded in under a second; one that does not load changes nothing, and its error is shown.\n\
    What the demo keeps stays in rimward-dev-PORT below TMPDIR (/tmp), for the next time.")]
pub struct Dev {
    /// Attach a function: a wasm file or a source; may be repeated, and they run in that order
    #[arg(long, value_name = "FILE[@EVENT]", conflicts_with = "config")]
    pub function: Vec<String>,
    /// Serve this configuration instead of the demo's
    #[arg(long, value_name = "PATH", conflicts_with_all = ["port", "admin_port"])]
    pub config: Option<PathBuf>,
    /// Port to serve the demo on; a configuration has its own
    #[arg(long, short, default_value_t = 8080, value_parser = port)]
    pub port: u16,
    /// Port of the demo's admin API; a configuration has its own
    #[arg(long, default_value_t = 9901, value_parser = port)]
    pub admin_port: u16,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rimward check config/edge.toml && systemctl reload rimward")]
pub struct Check {
    /// Configuration file, or a directory of them
    pub path: PathBuf,
}

/// What is asked of a PoP that runs, over its admin API.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Remove answers from the cache
    Purge(Purge),
    /// Watch rates, hit ratio, latency and origins
    Top(Top),
    /// Say how a PoP is doing
    Status(Status),
    /// Have a PoP read its configuration again
    Reload(Reload),
    Kv(kv::Kv),
    Keys(keys::Keys),
    Deploy(deploy::Deploy),
    Rollback(deploy::Rollback),
    Promote(deploy::Promote),
    #[command(visible_alias = "history")]
    Revisions(revisions::Revisions),
}

/// Where the admin API is and how to be let in.
#[derive(Debug, Clone, Args)]
pub struct Access {
    /// Admin API of the PoP
    #[arg(id = "admin", long, value_name = "URL", default_value = "http://127.0.0.1:9901", env = "RIMWARD_ADMIN")]
    pub url: String,
    /// File that holds the admin token [instead of env: RIMWARD_ADMIN_TOKEN]
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rimward purge --url https://shop.example/a?b=1     this URL, in all its variants\n  \
    rimward purge --prefix shop.example/img/           everything below\n  \
    rimward purge --tag product-7 --tag product-8      everything the origin tagged so\n  \
    rimward purge --soft --host shop.example           mark stale: the next request revalidates\n  \
    rimward purge --all --wait                         everything, and wait until every PoP has it")]
pub struct Purge {
    #[command(flatten)]
    pub scope: PurgeScopes,
    /// Mark stale instead of removing
    #[arg(long)]
    pub soft: bool,
    /// Wait until every node of the fleet has it, at most so many seconds (10); fails when one has not
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10", value_parser = clap::value_parser!(u8).range(1..=60))]
    pub wait: Option<u8>,
    /// The seconds that --wait waits, as for `rimward deploy`
    #[arg(long, value_name = "SECONDS", requires = "wait", value_parser = clap::value_parser!(u8).range(1..=60))]
    pub timeout: Option<u8>,
    #[command(flatten)]
    pub access: Access,
}

/// At least one; all but `--all` may be repeated and mixed.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct PurgeScopes {
    /// Exactly this URL
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// Every URL that begins so
    #[arg(long, value_name = "URL")]
    pub prefix: Vec<String>,
    /// Every URL of this host
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// Everything with this tag (Surrogate-Key, Cache-Tag)
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Everything
    #[arg(long, conflicts_with_all = ["url", "prefix", "host", "tag"])]
    pub all: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Keys: q or Esc ends.")]
pub struct Top {
    /// Seconds between two readings
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub interval: u16,
    /// Print one table and end (as it is without a terminal)
    #[arg(long)]
    pub once: bool,
    #[command(flatten)]
    pub access: Access,
}

#[derive(Debug, Args)]
pub struct Status {
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub access: Access,
}

#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    pub access: Access,
}

/// A port that can be told before it is open.
fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) => Err("what is printed to try must name the port: choose one from 1 to 65535, like 8081".to_owned()),
        Ok(port) => Ok(port),
        Err(_) => Err("a port is a number from 1 to 65535".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    #[test]
    fn clap_accepts_the_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines() {
        for (line, want) in [
            ("run --config a.toml --upgrade", None),
            ("run -c a.toml", None),
            ("dev", None),
            ("dev --port 8081 --admin-port 9902", None),
            ("dev --port 0", Some(ErrorKind::ValueValidation)),
            ("dev --admin-port 0", Some(ErrorKind::ValueValidation)),
            ("dev --function a.js --function b.wasm@viewer-response", None),
            ("dev --function a.js --config e.toml", Some(ErrorKind::ArgumentConflict)),
            ("fn new f --language rust --event origin-request", None),
            ("fn new f --language cobol", Some(ErrorKind::InvalidValue)),
            ("fn build f.js -o f.wasm --flavor cloudfront-2.0", None),
            ("fn test f.wasm --event e.json --now 2026-01-01 --seed 7 --repeat 10 --json", None),
            ("fn test f.wasm --event e.json --at viewer-request", None),
            ("fn test f.wasm --repeat 0", Some(ErrorKind::ValueValidation)),
            ("fn test f.wasm --now soon", Some(ErrorKind::ValueValidation)),
            ("fn test", Some(ErrorKind::MissingRequiredArgument)),
            ("fn inspect f.wasm", None),
            ("fn replay id --function f.wasm --dir records", None),
            ("kv put s k v", None),
            ("kv put s k", Some(ErrorKind::MissingRequiredArgument)),
            ("kv import s f.json --admin http://10.0.0.1:9901", None),
            ("keys create alice --plan gold --plan free --json", None),
            ("keys create", Some(ErrorKind::MissingRequiredArgument)),
            ("keys revoke alice --delete --admin http://10.0.0.1:9901", None),
            ("keys usage alice --from 2026-02-30", Some(ErrorKind::ValueValidation)),
            ("keys import keys.csv --map a=gold", None),
            ("keys import keys.csv --map gold", Some(ErrorKind::ValueValidation)),
            ("check config", None),
            ("schema", None),
            ("purge --url h/a --tag t --tag u --soft", None),
            ("purge --all --tag t", Some(ErrorKind::ArgumentConflict)),
            ("purge --all --wait 5", None),
            ("purge --all --wait=5", None),
            ("purge --all --wait --timeout 5", None),
            ("purge --all --timeout 5", Some(ErrorKind::MissingRequiredArgument)),
            ("purge --all --wait=61", Some(ErrorKind::ValueValidation)),
            ("purge --all --admin http://10.0.0.1:9901 --token-file t", None),
            ("top --once --interval 5", None),
            ("status --json", None),
            ("reload", None),
            ("deploy site --key k --canary pop=FRA,10% --wait --timeout 5 --note why", None),
            ("deploy --wait site --adopt", None),
            ("deploy site --wait=5", None),
            ("deploy site --wait=0", Some(ErrorKind::ValueValidation)),
            ("rollback --wait 7", None),
            ("deploy site --canary most", Some(ErrorKind::ValueValidation)),
            ("deploy --new-key k", None),
            ("deploy", Some(ErrorKind::MissingRequiredArgument)),
            ("deploy site --new-key k", Some(ErrorKind::ArgumentConflict)),
            ("rollback 0 --wait", None),
            ("rollback", None),
            ("promote --wait", None),
            ("revisions --last 3 --json", None),
            ("history", None),
            ("sign url https://h/a --key-pair-id K --key k.pem", None),
            ("sign url https://h/a --key-pair-id K --key k.pem --at 2026-12-31 --not-before 1 --ip 192.0.2.1", None),
            ("sign url https://h/a --key-pair-id K --key k.pem --at 1 --expires 1h", Some(ErrorKind::ArgumentConflict)),
            ("sign url https://h/a --key-pair-id K --key k.pem --ip here", Some(ErrorKind::ValueValidation)),
            ("sign url https://h/a --key k.pem", Some(ErrorKind::MissingRequiredArgument)),
            ("sign cookie https://h/* --key-pair-id K --key k.pem --hash sha256 --domain h", None),
            ("sign cookie https://h/* --key-pair-id K --key k.pem --hash md5", Some(ErrorKind::InvalidValue)),
            ("purge", Some(ErrorKind::MissingRequiredArgument)),
            ("purge --soft", Some(ErrorKind::MissingRequiredArgument)),
            ("top --interval 0", Some(ErrorKind::ValueValidation)),
            ("dev --port 70000", Some(ErrorKind::ValueValidation)),
            ("check", Some(ErrorKind::MissingRequiredArgument)),
            ("pruge --all", Some(ErrorKind::InvalidSubcommand)),
        ] {
            let got = Cli::try_parse_from(["rimward"].into_iter().chain(line.split(' ')));
            assert_eq!(got.as_ref().err().map(clap::Error::kind), want, "{line}");
            if let Err(error) = got {
                assert_eq!(error.exit_code(), 2);
            }
        }
    }
}
