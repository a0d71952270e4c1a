//! Top: reads a PoP again and again.
//!
//! In: arguments, a client. Out: one plain table, or a live screen until a key ends it. Never: leaves the terminal raw.

use super::admin::{Colour, Failed};
use super::client::Client;
use super::draw::draw;
use super::table::View;
use crate::observe::metrics::totals::Totals;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shows the table.
pub fn run(args: &super::Top, client: &Client, out: &mut impl Write) -> Result<(), Failed> {
    let interval = Duration::from_secs(u64::from(args.interval));
    let first: Totals = client.get("/top")?;
    if args.once || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        #[expect(clippy::disallowed_methods, reason = "the only thread of its process, nothing else waits")]
        std::thread::sleep(interval);
        out.write_all(View::between(&first, &client.get("/top")?).plain().as_bytes())?;
        return Ok(());
    }
    let colour = Colour::of(&io::stdout());
    let mut terminal = ratatui::try_init()?;
    let ended = live(&mut terminal, client, first, interval, colour);
    ratatui::try_restore()?;
    Ok(ended?)
}

/// Until a key ends it. A PoP that goes away is waited for.
fn live(
    terminal: &mut DefaultTerminal,
    client: &Client,
    first: Totals,
    interval: Duration,
    colour: Colour,
) -> io::Result<()> {
    let mut view = View::between(&first, &first);
    let mut before = first;
    let mut trouble = None;
    loop {
        terminal.draw(|frame| draw(frame, &view, trouble.as_deref(), colour))?;
        let next = Instant::now() + interval;
        while let Some(left) = next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if event::poll(left)? {
                match event::read()? {
                    Event::Key(key) if ends(key.code, key.modifiers) => return Ok(()),
                    Event::Resize(..) => {
                        terminal.draw(|frame| draw(frame, &view, trouble.as_deref(), colour))?;
                    }
                    _ => {}
                }
            }
        }
        match client.get::<Totals>("/top") {
            Ok(after) => {
                view = View::between(&before, &after);
                before = after;
                trouble = None;
            }
            Err(error) => trouble = Some(error.to_string()),
        }
    }
}

fn ends(code: KeyCode, modifiers: KeyModifiers) -> bool {
    matches!(code, KeyCode::Char('q') | KeyCode::Esc)
        || (code == KeyCode::Char('c') && modifiers.contains(KeyModifiers::CONTROL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::Pop;
    use crate::cli::{Access, Top};
    use crate::observe::record::sample;

    #[test]
    fn once_prints_a_table_of_a_real_pop() {
        let pop = Pop::start(None);
        let behaviors = pop.metrics.behaviors(["shop"]);
        pop.metrics.finish(&sample(&behaviors[0]));
        let access = Access { url: pop.url(), token_file: None };
        let args = Top { interval: 1, once: true, access };
        let mut out = Vec::new();
        run(&args, &Client::new(&args.access).unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("PoP FRA  0 requests/s  hit ratio - %\n\nbehavior "), "{text}");
        assert!(text.contains("\nshop "), "{text}");
    }

    #[test]
    fn keys_that_end() {
        for (code, modifiers, want) in [
            (KeyCode::Char('q'), KeyModifiers::NONE, true),
            (KeyCode::Esc, KeyModifiers::NONE, true),
            (KeyCode::Char('c'), KeyModifiers::CONTROL, true),
            (KeyCode::Char('c'), KeyModifiers::NONE, false),
            (KeyCode::Enter, KeyModifiers::NONE, false),
        ] {
            assert_eq!(ends(code, modifiers), want, "{code:?}");
        }
    }
}
