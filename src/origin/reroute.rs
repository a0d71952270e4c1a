//! Reroute: an origin that a function chose for one request, described by what differs from a configured one.
//!
//! In: the configured origin and the differences. Out: an origin of its own pool and conditions, kept for the next such request.
//! Never: health checks, an address literal, more than `REROUTES_MAX` of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;

use super::OriginError;
use super::direct::Direct;
use super::dns::Names;
use crate::config::compiled::{
    Balance, Dns, HostHeader, HttpOrigin, OriginTls, SignedOrigin, Signing, Target, UpstreamProtocol,
};

/// Distinct descriptions kept; past it all are forgotten (requests on their way keep theirs).
const REROUTES_MAX: usize = 1024;

/// What differs; absent parts are the base's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Reroute {
    /// The configured origin it is like.
    pub base: String,
    /// Lower case.
    pub host: Option<String>,
    pub port: Option<u16>,
    pub tls: Option<bool>,
    pub host_header: Option<HeaderValue>,
    pub sni: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
    pub attempts: Option<u32>,
    /// `None`: as at the base.
    pub signing: Option<Signing>,
}

/// Those made so far.
#[derive(Debug, Default)]
pub struct Reroutes(Mutex<HashMap<Reroute, Arc<Direct>>>);

// === impl Reroutes ===
impl Reroutes {
    /// The origin that `reroute` describes; `base` = settings of the configured one, if it is an HTTP origin.
    pub fn find(
        &self,
        reroute: &Reroute,
        base: Option<&HttpOrigin>,
        names: &Names,
    ) -> Result<Arc<Direct>, OriginError> {
        if let Some(known) = self.0.lock().get(reroute) {
            return Ok(known.clone());
        }
        let label = format!("{} rerouted", reroute.base);
        let made = Arc::new(Direct::new(&label, &reroute.applied(base), None, names)?);
        let mut known = self.0.lock();
        if known.len() >= REROUTES_MAX {
            known.clear();
        }
        Ok(known.entry(reroute.clone()).or_insert(made).clone())
    }
}

// === impl Reroute ===
impl Reroute {
    /// These differences with those of `next` over them; another host does not keep what was said of the one before.
    pub fn then(self, next: Reroute) -> Reroute {
        let signing = Signing::then(self.signing, next.signing);
        if next.host.is_some() && next.host != self.host {
            return Reroute { base: self.base, signing, ..next };
        }
        Reroute {
            base: self.base,
            host: next.host.or(self.host),
            port: next.port.or(self.port),
            tls: next.tls.or(self.tls),
            host_header: next.host_header.or(self.host_header),
            sni: next.sni.or(self.sni),
            connect_timeout: next.connect_timeout.or(self.connect_timeout),
            read_timeout: next.read_timeout.or(self.read_timeout),
            attempts: next.attempts.or(self.attempts),
            signing,
        }
    }

    /// Whether nothing differs from a base whose requests are not signed.
    pub fn is_same_server(&self) -> bool {
        Reroute { base: String::new(), signing: None, ..self.clone() } == Reroute::default()
    }

    /// Without a signature, another way to the server of `base`.
    pub fn unsigned(&self, base: &SignedOrigin) -> Reroute {
        let Target { host, port, tls, .. } = self.target(Some(&base.target()));
        let read_timeout = self.read_timeout.or(Some(base.timeout));
        Reroute { host: Some(host), port: Some(port), tls: Some(tls), read_timeout, ..self.clone() }
    }

    /// Of an origin whose requests are signed, one that signs too, with the same keys; `None`: nothing is signed there.
    ///
    /// # Errors
    /// Its name cannot be that of a server.
    pub fn signed(&self, base: &SignedOrigin) -> Result<Option<SignedOrigin>, OriginError> {
        let (service, region, always) = match &self.signing {
            Some(Signing::Off) => return Ok(None),
            None => (None, None, base.always),
            Some(Signing::Kept { region }) => (None, region.clone(), base.always),
            Some(Signing::On { service, region, always }) => (Some(service.clone()), region.clone(), *always),
        };
        let target = self.target(Some(&base.target()));
        let uri = target.uri().map_err(|_| OriginError::NoTarget { origin: target.host })?;
        Ok(Some(SignedOrigin {
            base: uri,
            service: service.unwrap_or_else(|| base.service.clone()),
            region: region.unwrap_or_else(|| base.region.clone()),
            credentials: base.credentials.clone(),
            body: base.body,
            timeout: self.read_timeout.unwrap_or(base.timeout),
            always,
            host: self.host_header.clone(),
        }))
    }

    /// Where it leads from `first`.
    pub fn target(&self, first: Option<&Target>) -> Target {
        let tls = self.tls.or(first.map(|target| target.tls)).unwrap_or(true);
        // Another host or scheme has its scheme's port, unless one is named.
        let inherited = first.filter(|target| self.host.is_none() && target.tls == tls).map(|target| target.port);
        Target {
            host: self.host.clone().or(first.map(|target| target.host.clone())).unwrap_or_default(),
            port: self.port.or(inherited).unwrap_or(if tls { 443 } else { 80 }),
            tls,
            weight: 1,
        }
    }

    /// The base's settings with the differences.
    fn applied(&self, base: Option<&HttpOrigin>) -> HttpOrigin {
        let mut http = base.cloned().unwrap_or_else(plain);
        if self.host.is_some() || self.port.is_some() || self.tls.is_some() {
            http.targets = vec![self.target(http.targets.first())];
            let other = |host: &String| base.is_none_or(|base| base.targets.iter().all(|target| target.host != *host));
            if self.host.is_some() {
                // What was written for another server's name does not hold here…
                http.host = HostHeader::Origin;
                http.tls.sni = None;
            }
            if self.host.as_ref().is_some_and(other) {
                // … nor trust in its certificate, nor ours that it is shown.
                http.tls = plain().tls;
            }
        }
        if let Some(host) = &self.host_header {
            http.host = HostHeader::Fixed(host.clone());
        }
        if self.sni.is_some() {
            http.tls.sni.clone_from(&self.sni);
        }
        http.connect_timeout = self.connect_timeout.unwrap_or(http.connect_timeout);
        http.read_timeout = self.read_timeout.unwrap_or(http.read_timeout);
        http.attempts = self.attempts.unwrap_or(http.attempts);
        http.health = None;
        http
    }
}

/// Settings of an origin that has no configured one behind it: the configuration's own defaults.
fn plain() -> HttpOrigin {
    HttpOrigin {
        targets: Vec::new(),
        host: HostHeader::Origin,
        balance: Balance::RoundRobin,
        protocol: UpstreamProtocol::H1,
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(30),
        keepalive_timeout: Duration::from_secs(60),
        attempts: 3,
        tls: OriginTls { verify: true, sni: None, ca: None, client: None },
        dns: Dns { min_ttl: Duration::from_secs(5), max_ttl: Duration::from_secs(300), servers: Vec::new() },
        health: None,
        eject: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compiled::Credentials;
    use crate::config::secret::Secret;
    use http::Uri;

    #[test]
    fn what_is_inherited() {
        let mut base = plain();
        base.targets = vec![Target { host: "a.test".into(), port: 8443, tls: true, weight: 3 }];
        base.host = HostHeader::Fixed(HeaderValue::from_static("fixed.test"));
        base.tls.sni = Some("a.test".into());
        let of = |reroute: Reroute| {
            let http = reroute.applied(Some(&base));
            let target = http.targets[0].clone();
            (target.host, target.port, target.tls, http.host, http.tls.sni)
        };
        let fixed = HostHeader::Fixed(HeaderValue::from_static("fixed.test"));
        let sni = Some("a.test".to_owned());
        for (reroute, want) in [
            (Reroute::default(), ("a.test", 8443, true, fixed.clone(), sni.clone())),
            (Reroute { port: Some(9000), ..Reroute::default() }, ("a.test", 9000, true, fixed.clone(), sni.clone())),
            (Reroute { tls: Some(false), ..Reroute::default() }, ("a.test", 80, false, fixed.clone(), sni.clone())),
            (
                Reroute { host: Some("b.test".into()), ..Reroute::default() },
                ("b.test", 443, true, HostHeader::Origin, None),
            ),
            (
                Reroute { host: Some("b.test".into()), tls: Some(false), port: Some(81), ..Reroute::default() },
                ("b.test", 81, false, HostHeader::Origin, None),
            ),
            (
                Reroute { host_header: Some(HeaderValue::from_static("x")), ..Reroute::default() },
                ("a.test", 8443, true, HostHeader::Fixed(HeaderValue::from_static("x")), sni.clone()),
            ),
        ] {
            let (host, port, tls, header, name) = want;
            assert_eq!(of(reroute.clone()), (host.to_owned(), port, tls, header, name), "{reroute:?}");
        }
    }

    #[test]
    fn what_stays_signed() {
        let base = SignedOrigin {
            base: Uri::from_static("http://a.test:81/"),
            service: "s3".into(),
            region: "eu-west-1".into(),
            credentials: Credentials {
                access_key: Secret::new("AK".into()),
                secret_key: Secret::new("secret".into()),
                session_token: None,
            },
            body: 1,
            timeout: Duration::from_secs(30),
            always: true,
            host: None,
        };
        let to = |host: Option<&str>, signing| Reroute { host: host.map(str::to_owned), signing, ..Reroute::default() };
        let kept = |region: Option<&str>| Some(Signing::Kept { region: region.map(str::to_owned) });
        let on = |service: &str, always| Some(Signing::On { service: service.into(), region: None, always });
        for (reroute, want) in [
            (Reroute { port: Some(82), ..Reroute::default() }, Some(("http://a.test:82/", "s3", "eu-west-1", true))),
            (Reroute { tls: Some(true), ..Reroute::default() }, Some(("https://a.test/", "s3", "eu-west-1", true))),
            (to(Some("b.test"), kept(None)), Some(("http://b.test/", "s3", "eu-west-1", true))),
            (to(Some("b.test"), kept(Some("us-east-2"))), Some(("http://b.test/", "s3", "us-east-2", true))),
            (to(Some("b.test"), on("lambda", false)), Some(("http://b.test/", "lambda", "eu-west-1", false))),
            (to(None, on("s3", true)), Some(("http://a.test:81/", "s3", "eu-west-1", true))),
            (to(Some("b.test"), None), Some(("http://b.test/", "s3", "eu-west-1", true))),
            (to(Some("b.test"), Some(Signing::Off)), None),
            (to(None, Some(Signing::Off)), None),
        ] {
            let signed = reroute.signed(&base).unwrap();
            let got =
                signed.as_ref().map(|to| (to.base.to_string(), to.service.as_str(), to.region.as_str(), to.always));
            assert_eq!(
                got,
                want.map(|(base, service, region, always)| (base.to_owned(), service, region, always)),
                "{reroute:?}"
            );
        }
        let off = to(None, Some(Signing::Off)).unsigned(&base);
        let moved = to(Some("b.test"), Some(Signing::Off)).unsigned(&base);
        assert_eq!((moved.host.as_deref(), moved.port, moved.tls), (Some("b.test"), Some(80), Some(false)));
        let got = (off.host.as_deref(), off.port, off.tls, off.read_timeout);
        assert_eq!(got, (Some("a.test"), Some(81), Some(false), Some(base.timeout)));
    }

    #[test]
    fn what_the_last_function_says_of_signatures_holds() {
        let to = |host: &str, signing| Reroute { host: Some(host.to_owned()), signing, ..Reroute::default() };
        let kept = |region: &str| Some(Signing::Kept { region: Some(region.to_owned()) });
        let on =
            |region: &str| Some(Signing::On { service: "s3".into(), region: Some(region.to_owned()), always: true });
        for (before, next, want) in [
            (on("eu"), None, on("eu")),
            (on("eu"), Some(Signing::Off), Some(Signing::Off)),
            (kept("eu"), Some(Signing::Off), Some(Signing::Off)),
            (Some(Signing::Off), on("us"), on("us")),
            // What is inherited is what is in force.
            (Some(Signing::Off), kept("us"), Some(Signing::Off)),
            (on("eu"), kept("us"), on("us")),
            (on("eu"), Some(Signing::Kept { region: None }), on("eu")),
            (kept("eu"), Some(Signing::Kept { region: None }), kept("eu")),
            (kept("eu"), Some(Signing::On { service: "s3".into(), region: None, always: true }), on("eu")),
            (kept("eu"), kept("us"), kept("us")),
            (None, kept("us"), kept("us")),
        ] {
            for host in ["a.test", "b.test"] {
                assert_eq!(
                    to("a.test", before.clone()).then(to(host, next.clone())).signing,
                    want,
                    "{before:?} {next:?}"
                );
            }
        }
    }

    #[test]
    fn what_leads_to_the_same_server() {
        let base = || "o".to_owned();
        for (reroute, want) in [
            (Reroute { base: base(), signing: Some(Signing::Off), ..Reroute::default() }, true),
            (Reroute { base: base(), signing: Some(Signing::Kept { region: None }), ..Reroute::default() }, true),
            (Reroute { base: base(), attempts: Some(1), ..Reroute::default() }, false),
            (Reroute { base: base(), host: Some("a.test".into()), ..Reroute::default() }, false),
        ] {
            assert_eq!(reroute.is_same_server(), want, "{reroute:?}");
        }
    }

    #[test]
    fn one_description_is_one_origin_and_they_are_bounded() {
        let (reroutes, names) = (Reroutes::default(), Names::default());
        let to = |port| Reroute { host: Some("127.0.0.1".into()), port: Some(port), ..Reroute::default() };
        let first = reroutes.find(&to(1025), None, &names).unwrap();
        assert!(Arc::ptr_eq(&first, &reroutes.find(&to(1025), None, &names).unwrap()));
        for port in 2000..2000 + REROUTES_MAX as u16 + 10 {
            reroutes.find(&to(port), None, &names).unwrap();
        }
        assert!(reroutes.0.lock().len() <= REROUTES_MAX);
    }
}
