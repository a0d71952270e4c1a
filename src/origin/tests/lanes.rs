//! Picks: targets, ejection, the Host header, peers, and the adapter lane through pingora's own connector.

use super::*;
use crate::config::compiled::{Eject, Generated};
use crate::origin::reroute::Reroute;
use crate::origin::{Names, Needs, OriginError, Origins, Outcome, Pick};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::{ALPN, Peer};

const RULE: Eject =
    Eject { failures: 2, window: Duration::from_secs(60), rest: Duration::from_secs(60), max_percent: 50 };

fn two() -> Vec<Target> {
    vec![target("127.0.0.1", 8001), target("127.0.0.1", 8002)]
}

async fn picked(origins: &Origins, tried: &[usize]) -> usize {
    origins.pick(0, &Pick { tried, ..Pick::default() }).await.unwrap().target.index
}

#[tokio::test]
async fn tried_targets_are_passed_over_while_others_are_left() {
    let origins = Origins::new(&[origin("o", http(two()))], &no_endpoints, None, &Arc::default()).unwrap();
    assert_eq!([picked(&origins, &[]).await, picked(&origins, &[]).await], [0, 1]);
    for _ in 0..3 {
        assert_eq!(picked(&origins, &[0]).await, 1);
    }
    assert!(picked(&origins, &[0, 1]).await < 2);
}

#[tokio::test]
async fn a_failing_target_rests_but_never_all() {
    let names = Arc::new(Names::default());
    let config = [origin("o", HttpOrigin { eject: Some(RULE), ..http(two()) })];
    let origins = Origins::new(&config, &no_endpoints, None, &names).unwrap();
    let fail = async |index: usize| {
        let tried = [1 - index];
        let picked = origins.pick(0, &Pick { tried: &tried, ..Pick::default() }).await.unwrap();
        assert_eq!(picked.target.index, index);
        origins.report(0, &picked.target, Outcome::ReadFailed);
    };
    fail(0).await;
    assert!(!origins.status()[0].resting);
    fail(0).await;
    assert!(origins.status()[0].resting);
    assert_eq!(origins.status()[0].last_error.as_deref(), Some("read failed"));
    for _ in 0..3 {
        assert_eq!(picked(&origins, &[]).await, 1);
    }
    fail(1).await;
    fail(1).await;
    assert!(!origins.status()[1].resting, "half of two is one");

    // A reload keeps what is known of the same target, and forgets a rule that is gone.
    let next = Origins::new(&config, &no_endpoints, Some(&origins), &names).unwrap();
    assert!(next.status()[0].resting);
    let without = Origins::new(&[origin("o", http(two()))], &no_endpoints, Some(&origins), &names).unwrap();
    assert!(!without.status()[0].resting);
    let renamed = [origin("p", HttpOrigin { eject: Some(RULE), ..http(two()) })];
    assert!(!Origins::new(&renamed, &no_endpoints, Some(&origins), &names).unwrap().status()[0].resting);
}

/// Whatever a function changes of an origin: a private address is asked only at a port that the configuration names for it.
#[tokio::test]
async fn a_private_target_that_a_function_describes_is_one_of_the_configuration() {
    let config =
        [origin("o", http(vec![target("127.0.0.1", 8001)])), origin("p", http(vec![target("127.0.0.2", 8002)]))];
    let origins = Origins::new(&config, &no_endpoints, None, &Arc::default()).unwrap();
    let reroute = |host: Option<&str>, port| Reroute { host: host.map(str::to_owned), port, ..Reroute::default() };
    let timeout = Reroute { read_timeout: Some(Duration::from_secs(1)), ..Reroute::default() };
    let tls = |port| Reroute { tls: Some(true), port, ..Reroute::default() };
    for (name, reroute, allowed) in [
        ("nothing of the address", timeout, true),
        ("its own port", reroute(None, Some(8001)), true),
        ("another port", reroute(None, Some(9901)), false),
        ("another origin's port", reroute(None, Some(8002)), false),
        ("another origin", reroute(Some("127.0.0.2"), Some(8002)), true),
        ("another origin at this one's port", reroute(Some("127.0.0.2"), Some(8001)), false),
        ("another origin at the scheme's port", reroute(Some("127.0.0.2"), None), false),
        ("the scheme's port", tls(None), false),
        ("another scheme at the same port", tls(Some(8001)), true),
        ("a private host", reroute(Some("10.0.0.1"), Some(8001)), false),
        ("a public host", reroute(Some("1.1.1.1"), Some(8001)), true),
    ] {
        let picked = origins.pick_rerouted(0, &reroute, &Pick::default()).await;
        match picked {
            Ok(_) => assert!(allowed, "{name}"),
            Err(error) => assert!(!allowed && matches!(error, OriginError::Private { .. }), "{name}: {error}"),
        }
    }
}

#[tokio::test]
async fn the_same_hash_asks_the_same_target() {
    let config = [origin("o", HttpOrigin { balance: Balance::Consistent, ..http(two()) })];
    let origins = Origins::new(&config, &no_endpoints, None, &Arc::default()).unwrap();
    for hash in [1u64 << 20, 1 << 63, u64::MAX] {
        let pick = Pick { hash, ..Pick::default() };
        let first = origins.pick(0, &pick).await.unwrap().target.index;
        for _ in 0..3 {
            assert_eq!(origins.pick(0, &pick).await.unwrap().target.index, first);
        }
    }
}

#[tokio::test]
async fn a_target_without_an_address_costs_no_attempt() {
    let zone = Zone::start(&[Ipv4Addr::LOCALHOST]).await;
    let targets = vec![target("gone.test", 80), target("name.test", 80)];
    let config = [origin("o", HttpOrigin { dns: zone.dns(Duration::from_secs(60)), ..http(targets) })];
    let origins = Origins::new(&config, &no_endpoints, None, &Arc::default()).unwrap();
    for _ in 0..2 {
        assert_eq!(picked(&origins, &[]).await, 1);
    }
    let only =
        [origin("o", HttpOrigin { dns: zone.dns(Duration::from_secs(60)), ..http(vec![target("gone.test", 80)]) })];
    let origins = Origins::new(&only, &no_endpoints, None, &Arc::default()).unwrap();
    let error = origins.pick(0, &Pick::default()).await.map(drop);
    assert!(matches!(&error, Err(OriginError::Name { host, .. }) if host == "gone.test"), "{error:?}");
}

#[tokio::test]
async fn the_host_header() {
    let viewer = HeaderValue::from_static("shop.example");
    let fixed = HeaderValue::from_static("fixed.example");
    let tls = |host: &str, port| Target { tls: true, ..target(host, port) };
    for (name, host, target, want) in [
        ("the target's own", HostHeader::Origin, target("127.0.0.1", 80), "127.0.0.1"),
        ("with an unusual port", HostHeader::Origin, target("127.0.0.1", 8080), "127.0.0.1:8080"),
        ("443 is usual with TLS", HostHeader::Origin, tls("127.0.0.1", 443), "127.0.0.1"),
        ("443 is unusual without", HostHeader::Origin, target("127.0.0.1", 443), "127.0.0.1:443"),
        ("IPv6 in brackets", HostHeader::Origin, target("::1", 81), "[::1]:81"),
        ("the viewer's", HostHeader::Viewer, target("127.0.0.1", 80), "shop.example"),
        ("fixed", HostHeader::Fixed(fixed), target("127.0.0.1", 80), "fixed.example"),
    ] {
        let config = [origin("o", HttpOrigin { host, ..http(vec![target]) })];
        let origins = Origins::new(&config, &no_endpoints, None, &Arc::default()).unwrap();
        let picked = origins.pick(0, &Pick { viewer_host: Some(&viewer), ..Pick::default() }).await.unwrap();
        assert_eq!(picked.host, want, "{name}");
    }
}

#[tokio::test]
async fn peers_are_limited_and_kept_apart() {
    let tls = |port| vec![Target { tls: true, ..target("127.0.0.1", port) }];
    let negotiate = || HttpOrigin { protocol: UpstreamProtocol::Negotiate, ..http(tls(443)) };
    let config = [
        origin("a", negotiate()),
        origin("b", negotiate()),
        origin("c", HttpOrigin { protocol: UpstreamProtocol::Negotiate, ..http(two()) }),
        origin("d", HttpOrigin { protocol: UpstreamProtocol::H2, ..http(two()) }),
    ];
    let origins = Origins::new(&config, &no_endpoints, None, &Arc::default()).unwrap();
    let peer = async |id, needs| origins.pick(id, &Pick { needs, ..Pick::default() }).await.unwrap().peer;
    let plain = peer(0, Needs::default()).await;
    assert_eq!(plain.options.connection_timeout, Some(Duration::from_secs(3)));
    assert_eq!(plain.options.total_connection_timeout, Some(Duration::from_secs(3)));
    assert_eq!(plain.options.read_timeout, Some(Duration::from_secs(20)));
    assert_eq!(plain.options.write_timeout, Some(Duration::from_secs(21)));
    assert_eq!(plain.options.idle_timeout, Some(Duration::from_secs(5)));
    assert_eq!(plain.sni, "127.0.0.1", "an empty name would switch verification off");
    assert!(plain.verify_cert() && plain.verify_hostname());

    for (id, needs, want) in [
        (0, Needs::default(), ALPN::H2H1),
        (0, Needs { grpc: true, ..Needs::default() }, ALPN::H2),
        (0, Needs { upgrade: true, ..Needs::default() }, ALPN::H1),
        (2, Needs { grpc: true, ..Needs::default() }, ALPN::H1),
        (3, Needs::default(), ALPN::H2),
    ] {
        assert_eq!(peer(id, needs).await.options.alpn, want, "{id} {needs:?}");
    }
    let again = peer(0, Needs::default()).await;
    assert_eq!(plain.reuse_hash(), again.reuse_hash());
    assert_ne!(plain.reuse_hash(), peer(1, Needs::default()).await.reuse_hash(), "another origin");
    let upgrade = peer(0, Needs { upgrade: true, ..Needs::default() }).await;
    assert_ne!(plain.reuse_hash(), upgrade.reuse_hash(), "another protocol");
}

#[tokio::test]
async fn generated_answers_come_through_the_adapter() {
    let generated = Generated {
        status: StatusCode::IM_A_TEAPOT,
        headers: vec![
            (HeaderName::from_static("x-a"), HeaderValue::from_static("1")),
            (HeaderName::from_static("content-length"), HeaderValue::from_static("7")),
        ],
        body: Bytes::from(vec![b'x'; 200_000]),
    };
    let kind = OriginKind::Generated(Arc::new(generated));
    let config = [Origin { name: "g".into(), kind, headers: Vec::new(), path: String::new(), tier: Tier::default() }];
    let origins = Origins::new(&config, &no_endpoints, None, &Arc::default()).unwrap();
    let connector = Connector::new(None);
    for (method, sent, got) in [("GET", 0, 200_000), ("HEAD", 0, 0), ("POST", 300_000, 200_000)] {
        let peer = origins.pick(0, &Pick::default()).await.unwrap().peer;
        let (mut session, reused) = connector.get_http_session(&*peer).await.unwrap();
        assert!(!reused);
        let mut request = RequestHeader::build(method, b"/", None).unwrap();
        request.insert_header("host", "shop.example").unwrap();
        request.insert_header("content-length", sent.to_string()).unwrap();
        session.write_request_header(Box::new(request)).await.unwrap();
        if sent > 0 {
            session.write_request_body(Bytes::from(vec![0; sent]), true).await.unwrap();
        }
        session.finish_request_body().await.unwrap();
        session.read_response_header().await.unwrap();
        let head = session.response_header().unwrap();
        assert_eq!(head.status, StatusCode::IM_A_TEAPOT);
        assert_eq!(head.headers["x-a"], "1");
        assert_eq!(head.headers["content-length"], "200000");
        let mut size = 0;
        while let Some(chunk) = session.read_response_body().await.unwrap() {
            size += chunk.len();
        }
        assert_eq!(size, got, "{method}");
        connector.release_http_session(session, &*peer, peer.idle_timeout()).await;
    }
    assert!(origins.status()[0].up);
}

#[tokio::test]
async fn a_failed_connection_moves_to_the_names_next_address() {
    let zone = Zone::start(&[Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)]).await;
    let config =
        [origin("o", HttpOrigin { dns: zone.dns(Duration::from_secs(60)), ..http(vec![target("name.test", 80)]) })];
    let origins = Origins::new(&config, &no_endpoints, None, &Arc::default()).unwrap();
    let first = origins.pick(0, &Pick::default()).await.unwrap().target;
    origins.report(0, &first, Outcome::ConnectFailed);
    for _ in 0..3 {
        let next = origins.pick(0, &Pick { tried: &[0], ..Pick::default() }).await.unwrap().target;
        assert_ne!(next.address, first.address);
    }
}
