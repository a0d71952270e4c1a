//! Table: what `rimward top` shows.
//!
//! In: two readings of a PoP's totals. Out: rates, hit ratio and latencies between them, as rows of text. Never: I/O.

use crate::observe::metrics::totals::{BehaviorTotals, OriginTotals, Totals};

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

/// What happened between two readings. A PoP that restarted in between counts from zero again: its counters are taken as
/// they are.
#[derive(Debug, Default)]
struct Delta {
    requests: u64,
    hits: u64,
    /// Requests the cache was asked for.
    cacheable: u64,
    errors: u64,
    bytes_in: u64,
    bytes_out: u64,
    buckets: Vec<u64>,
}

// === impl View ===
impl View {
    pub fn between(before: &Totals, after: &Totals) -> Self {
        let seconds = after.at_ms.saturating_sub(before.at_ms).max(1) as f64 / 1000.0;
        let mut deltas: Vec<(&str, Delta)> = after
            .behaviors
            .iter()
            .map(|now| {
                let then = before.behaviors.iter().find(|then| then.name == now.name);
                (now.name.as_str(), Delta::of(then, now))
            })
            .collect();
        deltas.sort_by(|a, b| b.1.requests.cmp(&a.1.requests).then_with(|| a.0.cmp(b.0)));
        let mut all = Delta::default();
        deltas.iter().for_each(|(_, delta)| all.add(delta));
        let behaviors = std::iter::once(("all", &all))
            .chain(deltas.iter().map(|(name, delta)| (*name, delta)))
            .map(|(name, delta)| delta.row(name, seconds, &after.bounds_s))
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

// === impl Delta ===
impl Delta {
    fn of(then: Option<&BehaviorTotals>, now: &BehaviorTotals) -> Self {
        let count = |totals: &BehaviorTotals, names: &[&str]| {
            totals.cache.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, count)| count).sum::<u64>()
        };
        let all = |totals: &BehaviorTotals| totals.cache.values().sum::<u64>();
        let zero = BehaviorTotals::default();
        let then = then.filter(|then| all(then) <= all(now)).unwrap_or(&zero);
        let between = |read: &dyn Fn(&BehaviorTotals) -> u64| read(now).saturating_sub(read(then));
        let hits = &["hit", "stale", "revalidated"];
        let cacheable = &["hit", "stale", "revalidated", "miss", "error"];
        Delta {
            requests: between(&all),
            hits: between(&|totals| count(totals, hits)),
            cacheable: between(&|totals| count(totals, cacheable)),
            errors: between(&|totals| totals.errors),
            bytes_in: between(&|totals| totals.bytes_in),
            bytes_out: between(&|totals| totals.bytes_out),
            buckets: subtract(&now.buckets, &then.buckets),
        }
    }

    fn add(&mut self, other: &Delta) {
        self.requests += other.requests;
        self.hits += other.hits;
        self.cacheable += other.cacheable;
        self.errors += other.errors;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (sum, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += count;
        }
    }

    fn row(&self, name: &str, seconds: f64, bounds: &[f64]) -> [String; 8] {
        [
            printable(name),
            number(self.requests as f64 / seconds),
            percent(self.hits, self.cacheable),
            number(self.errors as f64 / seconds),
            millis(&self.buckets, bounds, 0.5),
            millis(&self.buckets, bounds, 0.99),
            bytes(self.bytes_out as f64 / seconds),
            bytes(self.bytes_in as f64 / seconds),
        ]
    }
}

fn origin(before: &Totals, now: &OriginTotals, seconds: f64, bounds: &[f64]) -> [String; 5] {
    let zero = OriginTotals::default();
    let then =
        before.origins.iter().find(|then| then.name == now.name && then.attempts <= now.attempts).unwrap_or(&zero);
    let buckets = subtract(&now.buckets, &then.buckets);
    [
        printable(&now.name),
        number(buckets.iter().sum::<u64>() as f64 / seconds),
        number(now.errors.saturating_sub(then.errors) as f64 / seconds),
        millis(&buckets, bounds, 0.5),
        millis(&buckets, bounds, 0.99),
    ]
}

fn subtract(now: &[u64], then: &[u64]) -> Vec<u64> {
    now.iter().enumerate().map(|(at, count)| count.saturating_sub(then.get(at).copied().unwrap_or(0))).collect()
}

/// A quantile out of a histogram, by linear interpolation inside its bucket (as Prometheus' `histogram_quantile` does), in
/// milliseconds; `>` before the last bound when it lies past it.
fn millis(buckets: &[u64], bounds: &[f64], quantile: f64) -> String {
    let total: u64 = buckets.iter().sum();
    if total == 0 {
        return "-".to_owned();
    }
    let rank = quantile * total as f64;
    let mut below = 0;
    for (at, &count) in buckets.iter().enumerate() {
        if (below + count) as f64 >= rank && count > 0 {
            let low = at.checked_sub(1).and_then(|at| bounds.get(at)).copied().unwrap_or(0.0);
            return match bounds.get(at) {
                Some(high) => number((low + (high - low) * (rank - below as f64) / count as f64) * 1000.0),
                None => format!(">{}", number(low * 1000.0)),
            };
        }
        below += count;
    }
    "-".to_owned()
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
