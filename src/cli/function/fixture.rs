//! Fixture: messages for the tests of this directory.

use super::given::Given;
use super::time::Moment;
use crate::config::compiled::Mode;
use crate::hooks::{Event, Exchange};
use clap::Parser;

#[derive(Parser)]
struct Only {
    #[command(flatten)]
    given: Given,
}

/// The clock of these tests.
pub const NOW: Moment = Moment(1_767_225_600_000);

pub fn exchange(event: Event, request: &str, fields: &[(&str, &str)]) -> Exchange {
    let mut line = vec!["test".to_owned(), "--request".to_owned(), request.to_owned()];
    let option = if event.is_request() { "--header" } else { "--response-header" };
    line.extend(fields.iter().flat_map(|(name, value)| [option.to_owned(), format!("{name}: {value}")]));
    Only::parse_from(line).given.exchange(None, &[event], Mode::Extended, NOW).unwrap()
}
