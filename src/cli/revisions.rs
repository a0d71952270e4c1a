//! Revisions: the history of what all PoPs serve.
//!
//! In: a PoP's admin API. Out: who did what when, with what it changed and what became of it at each node. Never: JSON unless asked for.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;

use super::Access;
use super::admin::Failed;
use super::client::Client;
use super::deploy::words;
use crate::admin::{Revision, Revisions as Answer};
use crate::fleet::revision::Act;

/// Show what was deployed when, by whom, what it changed, and what each node made of it
#[derive(Debug, Args)]
pub struct Revisions {
    /// How many, newest first
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub last: usize,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub access: Access,
}

// === impl Revisions ===
impl Revisions {
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let answer: Answer = Client::new(&self.access)?.get("/revisions")?;
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &answer).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            write_history(out, &answer, self.last)?;
        }
        Ok(())
    }
}

fn write_history(out: &mut impl Write, answer: &Answer, last: usize) -> io::Result<()> {
    for (node, ack) in &answer.nodes {
        match ack {
            None => writeln!(out, "{node:<16} has said nothing yet")?,
            Some(ack) => {
                let serves = if ack.serves == 0 { "its own files alone".to_owned() } else { ack.serves.to_string() };
                write!(out, "{node:<16} {:<6} serves {serves}; {} {}", ack.pop, ack.serial, words(ack.state))?;
                match &ack.why {
                    Some(why) => writeln!(out, ": {why}")?,
                    None => writeln!(out)?,
                }
            }
        }
    }
    for part in &answer.covered {
        writeln!(out, "{part}: the revision's counts, this may be deleted")?;
    }
    for revision in answer.revisions.iter().take(last) {
        let mark = match revision.serial {
            serial if serial == answer.serves => "  (for everybody)",
            serial if Some(serial) == answer.canary => "  (canary)",
            _ => "",
        };
        let when = date(revision.created_ms);
        writeln!(out, "\n{}  {}{mark}", revision.serial, act(revision))?;
        writeln!(out, "  {when}  {}  {}", revision.author, revision.key)?;
        if !revision.note.is_empty() {
            writeln!(out, "  {}", revision.note)?;
        }
        for (node, told) in &revision.nodes {
            let (word, when) = (words(told.past.state), date(told.past.at_ms));
            writeln!(out, "  {node:<14} {:<6} {word}, {when}", told.pop)?;
            for line in told.past.why.iter().flat_map(|why| why.lines()) {
                writeln!(out, "    {line}")?;
            }
        }
        for (sign, names) in [('+', &revision.added), ('~', &revision.changed), ('-', &revision.removed)] {
            for name in names {
                writeln!(out, "  {sign} {name}")?;
            }
        }
    }
    Ok(())
}

/// The end of the year 9999, the last that a date can be written of.
const DATE_MAX_MS: u64 = 253_402_300_799_000;

fn date(ms: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(ms.min(DATE_MAX_MS)))
}

fn act(revision: &Revision) -> String {
    match &revision.act {
        Act::Deploy => format!("deploy, {} files, configuration {}", revision.files.len(), revision.digest),
        Act::Canary { pops, percent } => {
            format!("canary for {percent} % at {}, configuration {}", pops.join(", "), revision.digest)
        }
        Act::Promote { serial } => format!("promote {serial}"),
        Act::Rollback { serial } => format!("rollback to {serial}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::revision::{Ack, AckState, Past};
    use crate::proxy::history::Told;

    #[test]
    fn who_when_what() {
        let past = Past { state: AckState::RolledBack, why: Some("slow\nindeed".to_owned()), at_ms: 0 };
        let told = Told { pop: "FRA".to_owned(), past };
        let revision = Revision {
            serial: 7,
            act: Act::Canary { pops: vec!["FRA".to_owned()], percent: 10 },
            author: "ada".to_owned(),
            key: "ed25519:AAAA".to_owned(),
            note: "a try".to_owned(),
            created_ms: u64::MAX,
            digest: "abc".to_owned(),
            files: Vec::new(),
            added: vec!["b".to_owned()],
            changed: vec!["edge.toml".to_owned()],
            removed: vec!["a".to_owned()],
            nodes: [("fra".to_owned(), told)].into(),
        };
        let ack = Ack {
            serial: 7,
            state: AckState::RolledBack,
            why: Some("slow".to_owned()),
            serves: 0,
            pop: "FRA".to_owned(),
            at_ms: 1,
            bad: Default::default(),
            past: Default::default(),
        };
        let nodes = [("fra".to_owned(), Some(ack)), ("nrt".to_owned(), None)].into();
        let answer = Answer {
            newest: 7,
            serves: 0,
            before: 0,
            canary: Some(7),
            covered: vec!["rimward.toml:3: origin 'o'".to_owned()],
            nodes,
            revisions: vec![revision.clone(), revision],
        };
        let mut out = Vec::new();
        write_history(&mut out, &answer, 1).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "fra              FRA    serves its own files alone; 7 rolled back: slow\n\
             nrt              has said nothing yet\n\
             rimward.toml:3: origin 'o': the revision's counts, this may be deleted\n\n\
             7  canary for 10 % at FRA, configuration abc  (canary)\n  \
             Fri, 31 Dec 9999 23:59:59 GMT  ada  ed25519:AAAA\n  a try\n  \
             fra            FRA    rolled back, Thu, 01 Jan 1970 00:00:00 GMT\n    slow\n    indeed\n  + b\n  ~ edge.toml\n  - a\n"
        );
    }
}
