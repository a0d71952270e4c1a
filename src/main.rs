//! The `rimward` command. See the library's documentation for the rooms.
use clap::Parser;
use rimward::cli::{Cli, Command};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything builds a TLS configuration; a provider that is already there is the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Cli::parse().command {
        Command::Run(run) => run.run(),
        Command::Dev(dev) => dev.run(),
        Command::Check(check) => check.run(),
        Command::Schema => {
            let written = writeln!(std::io::stdout(), "{:#}", rimward::config::schema_json());
            // `rimward schema | head` has got what it wanted.
            match written {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
                _ => ExitCode::SUCCESS,
            }
        }
        Command::Fn(function) => function.run(),
        Command::Sign(sign) => sign.run(),
        Command::Admin(admin) => admin.run(),
    }
}
