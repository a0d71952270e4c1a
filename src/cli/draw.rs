//! Draw: one view on a terminal.
//!
//! In: a view, trouble if any. Out: widgets in a frame. Never: I/O, numbers of its own.

use super::admin::Colour;
use super::table::{BEHAVIOR_HEAD, ORIGIN_HEAD, PATH_HEAD, View};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

/// Width of a column of numbers.
const NUMBER: u16 = 11;

/// Draws title, three tables, and a last line that helps or complains.
pub fn draw(frame: &mut Frame<'_>, view: &View, trouble: Option<&str>, colour: Colour) {
    let rows = |count: usize| u16::try_from(count + 2).unwrap_or(u16::MAX);
    let [title, behaviors, origins, paths, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Max(rows(view.behaviors.len())),
        Constraint::Max(rows(view.origins.len())),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let style = |fg| if colour.0 { Style::new().fg(fg) } else { Style::new() };
    frame.render_widget(Paragraph::new(view.title.as_str()).style(Style::new().add_modifier(Modifier::BOLD)), title);
    frame.render_widget(table(BEHAVIOR_HEAD, &view.behaviors, style(Color::Cyan)), behaviors);
    frame.render_widget(table(ORIGIN_HEAD, &view.origins, style(Color::Cyan)), origins);
    frame.render_widget(table(PATH_HEAD, &view.paths, style(Color::Cyan)), paths);
    let last = match trouble {
        Some(trouble) => Paragraph::new(trouble).style(style(Color::Red)),
        None => Paragraph::new("q ends").style(style(Color::DarkGray)),
    };
    frame.render_widget(last, foot);
}

fn table<'v, const N: usize>(head: [&'static str; N], rows: &'v [[String; N]], style: Style) -> Table<'v> {
    let cells = |texts: [&'v str; N]| {
        let cells = texts.into_iter().enumerate().map(|(at, text)| {
            let side = if at == 0 { Alignment::Left } else { Alignment::Right };
            Cell::from(Text::from(Line::from(text).alignment(side)))
        });
        Row::new(cells.collect::<Vec<_>>())
    };
    let widths = (0..N).map(|at| if at == 0 { Constraint::Fill(1) } else { Constraint::Length(NUMBER) });
    let body = rows.iter().map(|row| cells(std::array::from_fn(|at| row[at].as_str())));
    Table::new(body.collect::<Vec<_>>(), widths).header(cells(head).style(style))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(trouble: Option<&str>, colour: Colour) -> (String, bool) {
        let view = View {
            title: "PoP FRA".into(),
            behaviors: vec![["shop", "10.0", "90.0", "0", "1.00", "2.00", "1 KiB", "1 B"].map(str::to_owned)],
            origins: vec![["backend", "1.00", "0", "5.00", "9.00"].map(str::to_owned)],
            paths: vec![["shop.example/a", "25.0"].map(str::to_owned)],
        };
        let mut terminal = Terminal::new(TestBackend::new(110, 14)).unwrap();
        terminal.draw(|frame| draw(frame, &view, trouble, colour)).unwrap();
        let buffer = terminal.backend().buffer();
        let lines = buffer.content.chunks(110).map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
        let coloured = buffer.content.iter().any(|cell| cell.fg != Color::Reset);
        (lines.map(|line| line.trim_end().to_owned() + "\n").collect(), coloured)
    }

    #[test]
    fn everything_is_on_the_screen() {
        let (text, coloured) = screen(None, Colour(true));
        for part in ["PoP FRA", "behavior", "p99 ms", "shop ", "90.0", "backend", "shop.example/a", "25.0", "q ends"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(coloured);
    }

    #[test]
    fn trouble_is_told_and_no_color_is_respected() {
        let (text, coloured) = screen(Some("no PoP answers"), Colour(false));
        assert!(text.ends_with("no PoP answers\n"), "{text}");
        assert!(!coloured);
    }
}
