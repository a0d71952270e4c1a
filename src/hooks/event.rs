//! Event: the four places in a request's course where functions run.

use std::fmt;

/// Where in a request's course a function runs (CloudFront Developer Guide, "CloudFront events that can trigger a function").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    ViewerRequest,
    OriginRequest,
    OriginResponse,
    ViewerResponse,
}

// === impl Event ===
impl Event {
    pub const ALL: [Event; 4] =
        [Event::ViewerRequest, Event::OriginRequest, Event::OriginResponse, Event::ViewerResponse];

    /// As AWS spells it in `config.eventType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Event::ViewerRequest => "viewer-request",
            Event::OriginRequest => "origin-request",
            Event::OriginResponse => "origin-response",
            Event::ViewerResponse => "viewer-response",
        }
    }

    /// The handler a native component exports for it.
    pub fn export(self) -> &'static str {
        match self {
            Event::ViewerRequest => "on-viewer-request",
            Event::OriginRequest => "on-origin-request",
            Event::OriginResponse => "on-origin-response",
            Event::ViewerResponse => "on-viewer-response",
        }
    }

    /// Its number in the flat world.
    pub fn code(self) -> u8 {
        match self {
            Event::ViewerRequest => 1,
            Event::OriginRequest => 2,
            Event::OriginResponse => 3,
            Event::ViewerResponse => 4,
        }
    }

    pub fn is_request(self) -> bool {
        matches!(self, Event::ViewerRequest | Event::OriginRequest)
    }

    pub fn is_viewer(self) -> bool {
        matches!(self, Event::ViewerRequest | Event::ViewerResponse)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Event {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Event::ALL.into_iter().find(|event| event.as_str() == text);
        known.ok_or_else(|| {
            format!("unknown event '{text}': viewer-request, origin-request, origin-response or viewer-response")
        })
    }
}
