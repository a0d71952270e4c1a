//! Table: what `rimward top` shows.
//!
//! In: two readings of a PoP's totals. Out: rates, hit ratio and latencies between them, as rows of text. Never: I/O.

use crate::observe::metrics::change::{self, Change, Quantile};
use crate::observe::metrics::totals::{OriginTotals, Totals};

/// Heads of [`View::behaviors`] and [`View::origins`].
pub const BEHAVIOR_HEAD: [&str; 8] = ["behavior", "req/s", "hit %", "5xx/s", "p50 ms", "p99 ms", "out/s", "in/s"];
pub const ORIGIN_HEAD: [&str; 5] = ["origin", "req/s", "err/s", "p50 ms", "p99 ms"];
pub const PATH_HEAD: [&str; 2] = ["path", "share %"];

/// One screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// PoP, rate, hit ratio: one line.
    pub title: String,
    /// Busiest first, the sum of all on top.
    pub behaviors: Vec<[String; 8]>,
    pub origins: Vec<[String; 5]>,
    pub paths: Vec<[String; 2]>,
}

// === impl View ===
impl View {
    pub fn between(before: &Totals, after: &Totals) -> Self {
        let seconds = after.at_ms.saturating_sub(before.at_ms).max(1) as f64 / 1000.0;
        let mut changes: Vec<(&str, Change)> = after
            .behaviors
            .iter()
            .map(|now| {
                let then = before.behaviors.iter().find(|then| then.name == now.name);
                (now.name.as_str(), Change::of(then, now))
            })
            .collect();
        changes.sort_by(|a, b| b.1.requests.cmp(&a.1.requests).then_with(|| a.0.cmp(b.0)));
        let mut all = Change::default();
        changes.iter().for_each(|(_, change)| all.add(change));
        let behaviors = std::iter::once(("all", &all))
            .chain(changes.iter().map(|(name, change)| (*name, change)))
            .map(|(name, change)| row(name, change, seconds, &after.bounds_s))
            .collect();
        View {
            title: format!(
                "PoP {}  {} requests/s  hit ratio {} %",
                after.pop,
                number(all.requests as f64 / seconds),
                percent(all.hits, all.cacheable)
            ),
            behaviors,
            origins: after.origins.iter().map(|now| origin(before, now, seconds, &after.bounds_s)).collect(),
            paths: after.paths.iter().map(|path| [printable(&path.path), number(path.share * 100.0)]).collect(),
        }
    }

    /// As plain text, for pipes and `--once`.
    pub fn plain(&self) -> String {
        let mut out = format!("{}\n", self.title);
        plain(&mut out, BEHAVIOR_HEAD, &self.behaviors);
        plain(&mut out, ORIGIN_HEAD, &self.origins);
        plain(&mut out, PATH_HEAD, &self.paths);
        out
    }
}

fn row(name: &str, change: &Change, seconds: f64, bounds: &[f64]) -> [String; 8] {
    [
        printable(name),
        number(change.requests as f64 / seconds),
        percent(change.hits, change.cacheable),
        number(change.errors as f64 / seconds),
        millis(&change.buckets, bounds, 0.5),
        millis(&change.buckets, bounds, 0.99),
        bytes(change.bytes_out as f64 / seconds),
        bytes(change.bytes_in as f64 / seconds),
    ]
}

fn origin(before: &Totals, now: &OriginTotals, seconds: f64, bounds: &[f64]) -> [String; 5] {
    let zero = OriginTotals::default();
    let then =
        before.origins.iter().find(|then| then.name == now.name && then.attempts <= now.attempts).unwrap_or(&zero);
    let buckets = change::subtract(&now.buckets, &then.buckets);
    [
        printable(&now.name),
        number(buckets.iter().sum::<u64>() as f64 / seconds),
        number(now.errors.saturating_sub(then.errors) as f64 / seconds),
        millis(&buckets, bounds, 0.5),
        millis(&buckets, bounds, 0.99),
    ]
}

/// In milliseconds; `>` before the last bound when it lies past it.
fn millis(buckets: &[u64], bounds: &[f64], quantile: f64) -> String {
    match change::quantile(buckets, bounds, quantile) {
        None => "-".to_owned(),
        Some(Quantile::At(seconds)) => number(seconds * 1000.0),
        Some(Quantile::Past(seconds)) => format!(">{}", number(seconds * 1000.0)),
    }
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { number(part as f64 * 100.0 / whole as f64) }
}

/// Three digits that matter.
fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v < 0.1 => format!("{v:.3}"),
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// With a binary unit.
pub fn bytes(value: f64) -> String {
    let mut value = value;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let digits = if unit == "B" || value >= 100.0 { 0 } else { 1 };
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// Paths come from viewers: nothing that moves a terminal's cursor is shown.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

/// First column to the left, numbers to the right, two spaces between.
fn plain<const N: usize>(out: &mut String, head: [&str; N], rows: &[[String; N]]) {
    if rows.is_empty() {
        return;
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    out.push('\n');
    for row in std::iter::once(head.map(str::to_owned)).chain(rows.iter().cloned()) {
        for (at, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let cell = if at == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            out.push_str(&cell);
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reading(at_ms: u64, hits: u64, misses: u64, passes: u64, buckets: [u64; 3]) -> Totals {
        serde_json::from_value(json!({
            "at_ms": at_ms, "pop": "FRA", "bounds_s": [0.001, 0.01],
            "behaviors": [
                {"name": "img/*", "cache": {"hit": hits, "miss": misses}, "errors": 0, "bytes_in": hits * 100,
                 "bytes_out": hits * 2048, "buckets": buckets},
                {"name": "api/*", "cache": {"pass": passes}, "errors": passes / 10, "bytes_in": 0, "bytes_out": 0,
                 "buckets": [0, 0, passes]}
            ],
            "origins": [{"name": "backend", "errors": passes / 10, "attempts": passes + misses,
                         "buckets": [0, passes + misses, 0]}],
            "paths": [{"path": "shop.example/\u{1b}[2Jlogo.png", "share": 0.25}]
        }))
        .unwrap()
    }

    #[test]
    fn two_readings_make_a_table() {
        let before = reading(10_000, 1000, 1000, 0, [1000, 1000, 0]);
        let after = reading(12_000, 1900, 1100, 20, [1900, 1100, 0]);
        let want = "\
PoP FRA  510 requests/s  hit ratio 90.0 %

behavior  req/s  hit %  5xx/s  p50 ms  p99 ms    out/s      in/s
all         510   90.0   1.00    0.57   >10.0  900 KiB  43.9 KiB
img/*       500   90.0      0    0.56    9.10  900 KiB  43.9 KiB
api/*      10.0      -   1.00   >10.0   >10.0      0 B       0 B

origin   req/s  err/s  p50 ms  p99 ms
backend   60.0   1.00    5.50    9.91

path                       share %
shop.example/\u{fffd}[2Jlogo.png     25.0
";
        let got = View::between(&before, &after).plain();
        assert_eq!(got, want, "\n{got}");
    }

    #[test]
    fn a_restart_in_between_counts_from_zero() {
        let before = reading(0, 5000, 0, 0, [5000, 0, 0]);
        let after = reading(1000, 10, 0, 0, [10, 0, 0]);
        assert_eq!(View::between(&before, &after).behaviors[1][1], "10.0");
    }

    #[test]
    fn nothing_happened() {
        let same = reading(1000, 5, 5, 0, [5, 5, 0]);
        let view = View::between(&same, &same);
        assert_eq!(view.behaviors[0], ["all", "0", "-", "0", "-", "-", "0 B", "0 B"].map(str::to_owned));
        assert_eq!(View::between(&Totals::default(), &Totals::default()).origins.len(), 0);
    }

    #[test]
    fn quantities() {
        for (value, want) in [(0.0, "0"), (0.01, "0.010"), (9.9, "9.90"), (12.34, "12.3"), (1234.5, "1234")] {
            assert_eq!(number(value), want);
        }
        for (value, want) in [
            (0.0, "0 B"),
            (1023.0, "1023 B"),
            (1536.0, "1.5 KiB"),
            (2e9, "1.9 GiB"),
            (5e12, "4.5 TiB"),
            (1e15, "909.5 TiB"),
        ] {
            assert_eq!(bytes(value), want);
        }
    }
}
