//! Derive: keys that verify an access key's signatures, for a PoP that must not have its secret.
//!
//! In: the secret, from a file or the environment; days, region, service. Out: lines for `days` of a [[sigv4.key]], or its public
//! key. Never: the secret itself on a command line or in the output; a running PoP.

use std::io::Write;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::KeysError;
use crate::access::sigv4::{derive_day_key, sigv4a_public_point};
use crate::crypto;
use crate::limit::period;

/// Days of one call: a year.
const DAYS_MAX: u32 = 366;

#[derive(Debug, Args)]
#[command(
    override_usage = "rimward keys derive <ID> <--secret-env NAME|--secret-file PATH> <--region REGION…|--public>"
)]
#[command(after_help = "Examples:\n  \
    rimward keys derive AKIAIOSFODNN7EXAMPLE --secret-env PARTNER_SECRET --region eu-central-1 --days 30 > days\n  \
    rimward keys derive AKIAIOSFODNN7EXAMPLE --secret-file secret --public\n\n\
    A derived key is good for one day, region and service. The public key is for SigV4a, has no end, and proves \
    nothing about who could sign with SigV4.")]
pub struct Derive {
    /// Access key id
    pub id: String,
    /// Environment variable that holds the secret
    #[arg(long, value_name = "NAME", conflicts_with = "secret_file", required_unless_present = "secret_file")]
    pub secret_env: Option<String>,
    /// File that holds the secret
    #[arg(long, value_name = "PATH")]
    pub secret_file: Option<PathBuf>,
    /// Print the public key for SigV4a instead
    #[arg(long, conflicts_with_all = ["region", "from", "days"])]
    pub public: bool,
    /// Region that clients sign for; may be repeated
    #[arg(long, value_name = "REGION", required_unless_present = "public")]
    pub region: Vec<String>,
    /// Service that clients sign for
    #[arg(long, default_value = "execute-api")]
    pub service: String,
    /// First day, UTC [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = super::date)]
    pub from: Option<String>,
    /// How many days
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    pub days: u32,
}

/// Prints the keys.
///
/// # Errors
/// The secret cannot be read.
pub fn run(derive: &Derive, now_ms: u64, out: &mut impl Write) -> Result<(), KeysError> {
    let secret = secret(derive)?;
    let written = |source| KeysError::Read { path: PathBuf::from("standard output"), source };
    if derive.public {
        let point = sigv4a_public_point(&derive.id, &secret).map_err(|error| KeysError::Secret(error.to_string()))?;
        return writeln!(out, "{}", STANDARD.encode(point)).map_err(written);
    }
    let first = match &derive.from {
        Some(text) => period::parse(text).ok_or_else(|| KeysError::Secret(format!("'{text}' is no day")))?,
        None => period::day(now_ms),
    };
    for day in first..first.saturating_add(derive.days) {
        let date = period::text(day).replace('-', "");
        for region in &derive.region {
            let key = derive_day_key(&secret, &date, region, &derive.service);
            writeln!(out, "{date} {region} {} {}", derive.service, crypto::hex(key.as_ref())).map_err(written)?;
        }
    }
    Ok(())
}

fn secret(derive: &Derive) -> Result<String, KeysError> {
    let text = match (&derive.secret_env, &derive.secret_file) {
        (Some(name), _) => std::env::var(name)
            .map_err(|_| KeysError::Secret(format!("the environment has no text variable '{name}'")))?,
        (None, Some(path)) => {
            std::fs::read_to_string(path).map_err(|source| KeysError::Read { path: path.clone(), source })?
        }
        (None, None) => String::new(),
    };
    match text.trim() {
        "" => Err(KeysError::Secret("the secret is empty".to_owned())),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        derive: Derive,
    }

    #[test]
    fn days_regions_and_the_documented_example() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        // AWS General Reference, "Examples of how to derive a signing key for Signature Version 4".
        std::fs::write(&file, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n").unwrap();
        let path = file.to_str().unwrap();
        let line = |more: &[&str]| {
            let args = [&["derive", "AKIDEXAMPLE", "--secret-file", path], more].concat();
            let mut out = Vec::new();
            run(&Line::try_parse_from(args).unwrap_or_else(|error| panic!("{error}")).derive, 0, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let one = line(&["--region", "us-east-1", "--service", "iam", "--from", "2012-02-15", "--days", "1"]);
        assert_eq!(one, "20120215 us-east-1 iam f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d\n");
        let many = line(&["--region", "a", "--region", "b", "--from", "2012-02-28", "--days", "2"]);
        let dates: Vec<&str> = many.lines().map(|line| &line[..10]).collect();
        assert_eq!(dates, ["20120228 a", "20120228 b", "20120229 a", "20120229 b"]);
        assert_eq!(STANDARD.decode(line(&["--public"]).trim()).unwrap().len(), 65);
        assert!(Line::try_parse_from(["derive", "A", "--region", "a"]).is_err(), "no secret");
        assert!(Line::try_parse_from(["derive", "A", "--secret-file", path, "--region", "a", "--days", "0"]).is_err());
    }
}
