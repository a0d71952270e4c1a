//! Resolver: the addresses of a service's name, of those that it may have.
//!
//! In: a name. Out: the system's addresses of it. Never: one that is not public for a name that a function made up, however often it is
//! asked: what was checked once may have another address by the time of the connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use crate::public::is_public;

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Any,
    Public,
}

/// The system's resolver.
#[derive(Debug, Clone)]
pub struct Resolver {
    pub system: GaiResolver,
    pub reach: Reach,
}

// === impl Resolver ===
impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.system.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (reach, shown) = (self.reach, name.as_str().to_owned());
        let found = self.system.call(name);
        Box::pin(async move { reachable(reach, &shown, found.await?) })
    }
}

fn reachable(
    reach: Reach,
    name: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<std::vec::IntoIter<SocketAddr>, io::Error> {
    let may = |address: &SocketAddr| reach == Reach::Any || is_public(address.ip());
    let left: Vec<SocketAddr> = found.filter(may).collect();
    if left.is_empty() {
        let why = format!("{name} has no public address, and no configured origin has that name and port");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(left.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_functions_making_leads_nowhere_private() {
        for (reach, found, want) in [
            (Reach::Any, &["127.0.0.1:0", "192.0.2.1:0"][..], Some(2)),
            (Reach::Public, &["127.0.0.1:0", "1.1.1.1:0", "10.0.0.1:0"], Some(1)),
            (Reach::Public, &["127.0.0.1:0", "169.254.169.254:0", "[::ffff:10.0.0.1]:0", "[::1]:0"], None),
        ] {
            let found = found.iter().map(|text| text.parse().unwrap());
            assert_eq!(reachable(reach, "a", found).ok().map(|left| left.count()), want);
        }
    }
}
