//! Failure: what can go wrong with a call, and what AWS calls it.
//!
//! Source: CloudFront Developer Guide, "HTTP 502 status code (Lambda validation error)", "HTTP 503 status code (Lambda execution
//! error)", "HTTP 503 (Lambda limit exceeded)", "Test and debug Lambda@Edge functions" (x-edge-result-type).

use std::time::Duration;

/// The contract a function was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// `rimward:edge`: host calls, or the flat world.
    Native,
    /// AWS's Lambda@Edge events.
    LambdaEdge,
    /// CloudFront Functions, runtime 1.0 or 2.0.
    CloudFront,
}

/// Why a call gave no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// What it returned is no valid outcome of this event.
    #[error("validation: {0}")]
    Validation(String),
    /// It threw, returned an error, or trapped.
    #[error("{0}")]
    Execution(String),
    /// It asked for more memory than it may have.
    #[error("out of memory: more than {0} bytes")]
    Memory(usize),
    #[error("used more than {0:?} of CPU time")]
    Cpu(Duration),
    #[error("took longer than {0:?}")]
    Timeout(Duration),
    /// As many calls as allowed are running already.
    #[error("{0} calls are running already")]
    Throttled(usize),
    /// The engine has no room for another instance.
    #[error("no room for another instance: {0}")]
    Exhausted(String),
}

// === impl Failure ===
impl Failure {
    /// What the viewer gets when `on_error = "fail"`.
    pub fn status(&self) -> u16 {
        match self {
            Failure::Validation(_) => 502,
            _ => 503,
        }
    }

    /// AWS's name for it, in `X-Cache` and the log's result type.
    pub fn result_type(&self, api: Api) -> &'static str {
        match (api, self) {
            (Api::LambdaEdge, Failure::Validation(_)) => "LambdaValidationError",
            (Api::LambdaEdge, Failure::Execution(_) | Failure::Memory(_)) => "LambdaExecutionError",
            (Api::LambdaEdge, _) => "LambdaLimitExceeded",
            (_, Failure::Validation(_)) => "FunctionValidationError",
            (_, Failure::Throttled(_) | Failure::Exhausted(_)) => "FunctionThrottledError",
            (_, _) => "FunctionExecutionError",
        }
    }

    /// Whether a limit was reached: of time, or of calls at once.
    pub fn is_limit(&self) -> bool {
        matches!(self, Failure::Cpu(_) | Failure::Timeout(_) | Failure::Throttled(_) | Failure::Exhausted(_))
    }

    /// A metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Failure::Validation(_) => "validation",
            Failure::Execution(_) => "execution",
            Failure::Memory(_) => "memory",
            Failure::Cpu(_) => "cpu",
            Failure::Timeout(_) => "timeout",
            Failure::Throttled(_) => "throttled",
            Failure::Exhausted(_) => "exhausted",
        }
    }
}

// === impl Api ===
impl Api {
    /// AWS's name for an answer a function gave by itself.
    pub fn generated(self) -> &'static str {
        match self {
            Api::LambdaEdge => "LambdaGeneratedResponse",
            Api::Native | Api::CloudFront => "FunctionGeneratedResponse",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference's error table (CloudFront Developer Guide, as above).
    #[test]
    fn every_failure_has_its_documented_status_and_name() {
        let second = Duration::from_secs(1);
        for (failure, status, lambda, function) in [
            (Failure::Validation(String::new()), 502, "LambdaValidationError", "FunctionValidationError"),
            (Failure::Execution(String::new()), 503, "LambdaExecutionError", "FunctionExecutionError"),
            (Failure::Memory(1), 503, "LambdaExecutionError", "FunctionExecutionError"),
            (Failure::Cpu(second), 503, "LambdaLimitExceeded", "FunctionExecutionError"),
            (Failure::Timeout(second), 503, "LambdaLimitExceeded", "FunctionExecutionError"),
            (Failure::Throttled(1), 503, "LambdaLimitExceeded", "FunctionThrottledError"),
            (Failure::Exhausted(String::new()), 503, "LambdaLimitExceeded", "FunctionThrottledError"),
        ] {
            assert_eq!(failure.status(), status, "{failure:?}");
            assert_eq!(failure.result_type(Api::LambdaEdge), lambda, "{failure:?}");
            assert_eq!(failure.result_type(Api::CloudFront), function, "{failure:?}");
            assert_eq!(failure.result_type(Api::Native), function, "{failure:?}");
        }
    }

    #[test]
    fn answers_have_their_documented_name() {
        assert_eq!(Api::LambdaEdge.generated(), "LambdaGeneratedResponse");
        assert_eq!(Api::CloudFront.generated(), "FunctionGeneratedResponse");
        assert_eq!(Api::Native.generated(), "FunctionGeneratedResponse");
    }
}
