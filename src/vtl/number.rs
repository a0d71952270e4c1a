//! Number: Java's integers and doubles, as far as a template can tell.
//!
//! In: literals, JSON numbers, operands. Out: results and text as Java prints it. Never: an error; what has no result is `None`.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::syntax::Operator;

/// Java's `Integer` and `Long` are one here: a template cannot tell them apart. `Big` is a `BigInteger`, kept as its digits.
#[derive(Debug, Clone)]
pub(super) enum Number {
    Int(i64),
    Big(Arc<str>),
    Double(f64),
}

// === impl Number ===
impl Number {
    /// Reads an integer or a double as JSON and Velocity write them.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.contains(['.', 'e', 'E']) {
            return text.parse().ok().filter(|double: &f64| double.is_finite()).map(Self::Double);
        }
        if let Ok(int) = text.parse() {
            return Some(Self::Int(int));
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| Self::Big(text.into()))
    }

    pub(super) fn double(&self) -> f64 {
        match self {
            Self::Int(int) => *int as f64,
            Self::Big(text) => text.parse().unwrap_or(f64::NAN),
            Self::Double(double) => *double,
        }
    }

    /// Java's narrowing: towards zero, at the bounds of a `Long`.
    pub(super) fn int(&self) -> i64 {
        match self {
            Self::Int(int) => *int,
            other => other.double() as i64,
        }
    }

    fn big(int: i128) -> Self {
        i64::try_from(int).map_or_else(|_| Self::Big(int.to_string().into()), Self::Int)
    }

    /// Integers stay integers and grow instead of wrapping (Velocity's `MathUtils`); `None` for a division by zero.
    pub(super) fn calculate(operator: Operator, left: &Self, right: &Self) -> Option<Self> {
        if let (Self::Int(a), Self::Int(b)) = (left, right) {
            let (a, b) = (i128::from(*a), i128::from(*b));
            return match operator {
                Operator::Add => Some(Self::big(a + b)),
                Operator::Subtract => Some(Self::big(a - b)),
                Operator::Multiply => Some(Self::big(a * b)),
                Operator::Divide => (b != 0).then(|| Self::big(a / b)),
                Operator::Remainder => (b != 0).then(|| Self::big(a % b)),
                _ => None,
            };
        }
        let (a, b) = (left.double(), right.double());
        match operator {
            Operator::Add => Some(Self::Double(a + b)),
            Operator::Subtract => Some(Self::Double(a - b)),
            Operator::Multiply => Some(Self::Double(a * b)),
            Operator::Divide => (b != 0.0).then_some(Self::Double(a / b)),
            Operator::Remainder => (b != 0.0).then_some(Self::Double(a % b)),
            _ => None,
        }
    }

    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Big(a), Self::Big(b)) if a == b => Some(Ordering::Equal),
            _ => self.double().partial_cmp(&other.double()),
        }
    }
}

/// `Double.toString`: plain from 10⁻³ to 10⁷, else with an exponent, always with a digit after the point.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let double = match self {
            Self::Int(int) => return write!(f, "{int}"),
            Self::Big(text) => return f.write_str(text),
            Self::Double(double) => *double,
        };
        let size = double.abs();
        if double.is_nan() {
            f.write_str("NaN")
        } else if double.is_infinite() {
            f.write_str(if double > 0.0 { "Infinity" } else { "-Infinity" })
        } else if size == 0.0 || (1e-3..1e7).contains(&size) {
            write!(f, "{double:?}")
        } else {
            let text = format!("{double:e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let point = if digits.contains('.') { "" } else { ".0" };
            write!(f, "{digits}{point}E{exponent}")
        }
    }
}
