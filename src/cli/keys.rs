//! Keys: the commands that make, list, revoke and count API keys of a running PoP.
//!
//! In: parsed arguments. Out: a table or JSON on standard output, an error otherwise. Never: a key's value on a command line,
//! or shown a second time.

mod csv;
mod derive;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Access;
use super::admin::Failed;
use super::client::{Client, ClientError};
use super::kv::encoded;
use crate::admin::Done;
use crate::admin::keys::{Change, Created, KeyList, KeyShown, NewKey, Usage as UsageAnswer};
use crate::limit::period;

/// Make, list and revoke the API keys of a running PoP
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rimward keys create alice --plan gold         make a key; it is printed this once\n  \
    rimward keys list                             names, plans, state\n  \
    rimward keys revoke alice                     refuse it from now on; `enable` takes that back\n  \
    rimward keys usage alice --from 2026-11-01    requests used and left, by day\n  \
    rimward keys import keys.csv --map a1b2=gold  API Gateway's CSV\n  \
    rimward keys derive AKIAEXAMPLE --secret-env SECRET --region eu-central-1\n\n\
    Plans, and keys that are fixed, are in the configuration. A change counts at the next request.")]
pub struct Keys {
    #[command(subcommand)]
    pub command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print its value, which cannot be had again
    Create(Create),
    /// List every key, without values
    List(List),
    /// Refuse a key from now on
    Revoke(Revoke),
    /// Accept a revoked key again
    Enable(Named),
    /// Print what a key has used, by day
    Usage(Usage),
    /// Make the keys of a file in API Gateway's CSV format
    Import(Import),
    /// Print keys that verify an access key's AWS signatures, so that a PoP needs no secret
    Derive(derive::Derive),
}

#[derive(Debug, Args)]
pub struct Create {
    /// Names whoever has the key: in logs, limits and usage
    pub name: String,
    /// Usage plan of the key; may be repeated
    #[arg(long = "plan", value_name = "PLAN")]
    pub plans: Vec<String>,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub access: Access,
}

#[derive(Debug, Args)]
pub struct List {
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub access: Access,
}

#[derive(Debug, Args)]
pub struct Revoke {
    pub name: String,
    /// Remove it for good instead: its name and value are free again
    #[arg(long)]
    pub delete: bool,
    #[command(flatten)]
    pub access: Access,
}

#[derive(Debug, Args)]
pub struct Named {
    pub name: String,
    #[command(flatten)]
    pub access: Access,
}

#[derive(Debug, Args)]
pub struct Usage {
    pub name: String,
    /// First day, UTC [default: the first of the month]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    pub from: Option<String>,
    /// Last day, UTC [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    pub to: Option<String>,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub access: Access,
}

#[derive(Debug, Args)]
#[command(after_help = "The file has a line of column names: key and name, and if you like description, enabled and \
    usageplanIds (several in quotes: \"a,b\"). It holds secrets: remove it afterwards.")]
pub struct Import {
    pub file: PathBuf,
    /// What a plan's id of the file is called here; may be repeated
    #[arg(long = "map", value_name = "ID=PLAN", value_parser = pair)]
    pub map: Vec<(String, String)>,
    #[command(flatten)]
    pub access: Access,
}

/// Why a command on keys failed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}: {reason}", path.display())]
    File { path: PathBuf, line: usize, reason: String },
    #[error("{0}")]
    Secret(String),
    #[error("--map {0}=… is written twice: an id of the file is one plan here")]
    MappedTwice(String),
    #[error(
        "{} {} made{}, {} {} not:\n  {}",
        keys(*made), were(*made), already(*there), refused.len(), were(refused.len()), refused.join("\n  ")
    )]
    Import { made: usize, there: usize, refused: Vec<String> },
}

pub fn run(keys: &Keys, out: &mut impl Write) -> Result<(), Failed> {
    match &keys.command {
        KeysCommand::Create(create) => {
            let new = NewKey { name: create.name.clone(), plans: create.plans.clone(), enabled: true, value: None };
            let made: Created = ask(&Client::new(&create.access)?, &Method::POST, "/keys", Some(&new))?;
            if create.plans.is_empty() {
                eprintln!("note: the key has no plan (--plan): where plans are configured, it opens nothing");
            }
            match create.json {
                true => json(out, &made)?,
                // Alone on its line, for `$(rimward keys create …)`.
                false => writeln!(out, "{}", made.value)?,
            }
        }
        KeysCommand::List(list) => {
            let answer: KeyList = Client::new(&list.access)?.get("/keys")?;
            match list.json {
                true => json(out, &answer)?,
                false => table(out, &["NAME", "STATE", "PLANS", "MADE"], answer.keys.iter().map(row))?,
            }
        }
        KeysCommand::Revoke(revoke) if revoke.delete => {
            let client = Client::new(&revoke.access)?;
            let _: Done = ask(&client, &Method::DELETE, &path(&revoke.name), None::<&Change>)?;
            writeln!(out, "deleted {}", revoke.name)?;
        }
        KeysCommand::Revoke(Revoke { name, access, .. }) => enable(name, access, false, out)?,
        KeysCommand::Enable(Named { name, access }) => enable(name, access, true, out)?,
        KeysCommand::Usage(usage) => {
            let parts = [("from", &usage.from), ("to", &usage.to)];
            let parts = parts.iter().filter_map(|(name, date)| date.as_ref().map(|date| format!("{name}={date}")));
            let query = parts.collect::<Vec<_>>().join("&");
            let answer: UsageAnswer =
                Client::new(&usage.access)?.get(&format!("{}/usage?{query}", path(&usage.name)))?;
            match usage.json {
                true => json(out, &answer)?,
                false => usage_table(out, &answer)?,
            }
        }
        KeysCommand::Import(file) => import(file, out)?,
        KeysCommand::Derive(derive) => derive::run(derive, now_ms(), out)?,
    }
    Ok(())
}

// === impl KeysError ===
impl KeysError {
    /// 2 when the command line is to blame, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            KeysError::Read { .. } | KeysError::File { .. } | KeysError::Secret(_) | KeysError::MappedTwice(_) => 2,
            KeysError::Import { .. } => 1,
        }
    }
}

fn enable(name: &str, access: &Access, enabled: bool, out: &mut impl Write) -> Result<(), Failed> {
    let change = Change { enabled: Some(enabled), plans: None };
    let shown: KeyShown = ask(&Client::new(access)?, &Method::PATCH, &path(name), Some(&change))?;
    writeln!(out, "{} {}", if shown.enabled { "enabled" } else { "revoked" }, shown.name)?;
    Ok(())
}

/// Every key that can be made is, whatever becomes of the others: an import that was cut off is simply run again, and leaves what is there.
fn import(import: &Import, out: &mut impl Write) -> Result<(), Failed> {
    for (position, (id, _)) in import.map.iter().enumerate() {
        if import.map.iter().take(position).any(|(before, _)| before == id) {
            return Err(KeysError::MappedTwice(id.clone()).into());
        }
    }
    let path = &import.file;
    let text = std::fs::read_to_string(path).map_err(|source| KeysError::Read { path: path.clone(), source })?;
    let rows = csv::keys(&text).map_err(|(line, reason)| KeysError::File { path: path.clone(), line, reason })?;
    for (id, _) in &import.map {
        if !rows.iter().any(|row| row.plans.contains(id)) {
            eprintln!("note: --map {id}=…: no key of the file has this plan");
        }
    }
    let client = Client::new(&import.access)?;
    let (mut made, mut there, mut refused) = (0, 0, Vec::new());
    for csv::Row { line, value, name, enabled, plans } in rows {
        let plan = |id: String| import.map.iter().find(|(from, _)| *from == id).map_or(id, |(_, to)| to.clone());
        let new = NewKey { name, plans: plans.iter().cloned().map(plan).collect(), enabled, value: Some(value) };
        let answer = client.ask(&Method::POST, "/keys", &[], serde_json::json!(new).to_string())?;
        match answer.status() {
            StatusCode::CREATED => made += 1,
            StatusCode::OK => there += 1,
            status => match client.refused(status.as_u16(), answer.body()) {
                ClientError::Refused { status, error, hint } => {
                    let ids = plans.iter().map(String::as_str).zip(new.plans.iter().map(String::as_str));
                    refused.push(format!("line {line}, {}: {}", new.name, reason(status, &error, &hint, ids)));
                }
                failed => return Err(failed.into()),
            },
        }
    }
    if !refused.is_empty() {
        return Err(KeysError::Import { made, there, refused }.into());
    }
    writeln!(out, "{} made{}", keys(made), already(there))?;
    Ok(())
}

/// "1 key", "2 keys".
fn keys(n: usize) -> String {
    format!("{n} key{}", if n == 1 { "" } else { "s" })
}

fn were(n: usize) -> &'static str {
    if n == 1 { "was" } else { "were" }
}

fn already(there: usize) -> String {
    match there {
        0 => String::new(),
        1 => ", 1 was there already and stays as it is".to_owned(),
        there => format!(", {there} were there already and stay as they are"),
    }
}

/// Why a key was not made, in words that help with a file: what is advised about a request does not. `plans`: ids of the file, and what they are
/// called here.
fn reason<'a>(status: u16, error: &str, hint: &str, mut plans: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    match plans.find(|(_, plan)| error == format!("there is no plan {plan:?}")) {
        Some((id, _)) => format!("{error}: write --map {id}=PLAN; {hint}"),
        None if status == StatusCode::BAD_REQUEST => error.to_owned(),
        None => format!("{error}; {hint}"),
    }
}

fn ask<T: DeserializeOwned>(
    client: &Client,
    method: &Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T, Failed> {
    let body = body.map(|body| serde_json::json!(body).to_string()).unwrap_or_default();
    let answer = client.ask(method, path, &[], body)?;
    let status = answer.status();
    match serde_json::from_slice(answer.body()) {
        Ok(read) if status.is_success() => Ok(read),
        _ => Err(client.refused(status.as_u16(), answer.body()).into()),
    }
}

fn path(name: &str) -> String {
    format!("/keys/{}", encoded(name))
}

fn row(key: &KeyShown) -> Vec<String> {
    let made = key.created_ms.map_or("configuration".to_owned(), |ms| period::text(period::day(ms)));
    let state = if key.enabled { "enabled" } else { "revoked" };
    vec![key.name.clone(), state.to_owned(), key.plans.join(", "), made]
}

fn usage_table(out: &mut impl Write, usage: &UsageAnswer) -> std::io::Result<()> {
    if usage.plans.is_empty() {
        return writeln!(out, "{} has no plan with a quota: nothing is counted", usage.name);
    }
    for plan in &usage.plans {
        let by = if plan.shared { "all nodes together" } else { "this node alone" };
        writeln!(out, "{}: {} a {}, counted by {by}", plan.plan, plan.limit, plan.period.to_lowercase())?;
        let row = |day: &crate::admin::keys::DayUsage| {
            vec![day.date.clone(), day.used.to_string(), day.remaining.to_string()]
        };
        table(out, &["DATE", "USED", "LEFT"], plan.days.iter().map(row))?;
    }
    Ok(())
}

/// Columns to the left, two spaces between; nothing of it moves a terminal's cursor.
fn table(out: &mut impl Write, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> std::io::Result<()> {
    let head: Vec<String> = head.iter().map(|&title| title.to_owned()).collect();
    let printable =
        |cell: String| cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>();
    let rows: Vec<Vec<String>> =
        std::iter::once(head).chain(rows.map(|row| row.into_iter().map(printable).collect())).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(at, cell)| format!("{cell:<width$}", width = width(at).unwrap_or(0)));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn json(out: &mut impl Write, answer: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, answer)?;
    writeln!(out)
}

fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn date(text: &str) -> Result<String, String> {
    period::parse(text).map(period::text).ok_or_else(|| period::WRITTEN.to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((id, plan)) if !id.is_empty() && !plan.is_empty() => Ok((id.to_owned(), plan.to_owned())),
        _ => Err("write ID=PLAN".to_owned()),
    }
}

#[cfg(test)]
mod tests;
