//! Flat answers: whatever bytes a function of the flat world answers with, what is left is a valid message, or a failure that says why.

use std::sync::LazyLock;
use std::time::Instant;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::hooks::Edit;
use crate::hooks::compat::tests as contracts;
use crate::hooks::compat::tests::generated::{Fate, fates};
use crate::hooks::engine::flat;
use crate::hooks::host::{CallState, Identity};

/// Pieces that rules have opinions about.
const PIECES: &str = "|a|/a|/a b|/a?b|//|/%2|/é|\"|<x>|a=1&b|#| |\t|\r\n|\0|\u{7f}|host|Host|content-length|\
                      transfer-encoding|connection|x-edge-a|via|warning|x-a|X-A|set-cookie|cookie|accept|\
                      accept-encoding|a.example|192.0.2.1|blue|green|red";

const MODES: [Mode; 2] = [Mode::Strict, Mode::Extended];

/// One for all calls: it reads the certificates of this machine.
static SERVICES: LazyLock<Arc<Services>> = LazyLock::new(services);

/// A call whose function has not answered yet.
fn state(event: Event, mode: Mode) -> CallState {
    let (name, version, fetch) = ("flat".into(), "0123456789ab".into(), SERVICES.fetch.share());
    let identity = Identity { name, version, grants: Grants::default(), fetch, lines: Default::default() };
    let exchange = Box::new(contracts::exchange(event, mode));
    CallState::new(exchange, &Arc::new(identity), &SERVICES, Instant::now() + Duration::from_secs(60))
}

/// A length and as many bytes.
fn part(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [&u32::try_from(data.len()).unwrap().to_le_bytes()[..], data].concat()
}

/// Operation 8.
fn answer(status: u16, lines: &[(Vec<u8>, Vec<u8>)], body: &[u8]) -> Vec<u8> {
    let mut out = vec![8u8];
    out.extend(status.to_le_bytes());
    out.extend(u32::try_from(lines.len()).unwrap().to_le_bytes());
    lines.iter().for_each(|(name, value)| out.extend([part(name), part(value)].concat()));
    out.extend(part(body));
    out
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => select(PIECES.split('|').collect::<Vec<_>>()).prop_map(|piece| piece.as_bytes().to_vec()),
        2 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => (1usize..50_000).prop_map(|length| [b"/".to_vec(), vec![b'a'; length]].concat()),
    ]
}

fn status() -> impl Strategy<Value = u16> {
    prop_oneof![195u16..210, 300u16..310, 595u16..605, any::<u16>()]
}

/// One operation in its layout, with any operands.
fn operation() -> impl Strategy<Value = Vec<u8>> {
    let lines = proptest::collection::vec((text(), text()), 0..5);
    prop_oneof![
        4 => (select(&[1u8, 2, 5, 6, 10][..]), text()).prop_map(|(code, text)| [vec![code], part(text)].concat()),
        4 => (select(&[3u8, 4][..]), text(), text())
            .prop_map(|(code, name, value)| [vec![code], part(name), part(value)].concat()),
        2 => status().prop_map(|status| [vec![7], status.to_le_bytes().to_vec()].concat()),
        3 => (status(), lines, text()).prop_map(|(status, lines, body)| answer(status, &lines, &body)),
        1 => (0u8..6, text()).prop_map(|(level, text)| [vec![11, level], part(text)].concat()),
        1 => text().prop_map(|text| [vec![9], part(text)].concat()),
        1 => any::<u8>().prop_map(|code| vec![code]),
    ]
}

/// What is done to bytes at a place.
fn harm() -> impl Strategy<Value = (Index, u8, u32)> {
    (any::<Index>(), 0u8..6, prop_oneof![0u32..40, any::<u32>()])
}

fn harmed(mut output: Vec<u8>, harms: Vec<(Index, u8, u32)>) -> Vec<u8> {
    for (at, how, value) in harms {
        if output.is_empty() {
            break;
        }
        let (at, value) = (at.index(output.len()), value.to_le_bytes());
        match how {
            0 => output[at] = value[0],
            1 => output.truncate(at),
            2 => _ = output.remove(at),
            3 => output.insert(at, value[0]),
            4 => output.iter_mut().skip(at).zip(value).for_each(|(byte, new)| *byte = new),
            _ => output.extend_from_within(at..),
        }
    }
    output
}

fn output() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    let operations = proptest::collection::vec(operation(), 0..10).prop_map(|all| [vec![1], all.concat()].concat());
    prop_oneof![
        1 => any_bytes(),
        1 => any_bytes().prop_map(|bytes| [vec![1], bytes].concat()),
        8 => (operations, proptest::collection::vec(harm(), 0..4)).prop_map(|(output, harms)| harmed(output, harms)),
    ]
}

/// What must hold of any message after any answer, one that was refused half-way too.
fn check(before: &Exchange, after: &Exchange) {
    contracts::property::check(before, after);
    if before.response.is_some() {
        assert_eq!((&after.request.uri, &after.request.query), (&before.request.uri, &before.request.query));
        assert_eq!(after.request.headers, before.request.headers);
    }
    for edit in after.edits() {
        let fits = match edit {
            Edit::Uri(_) | Edit::Query(_) | Edit::Origin(_) => after.event.is_request(),
            Edit::Status(_) => !after.event.is_request(),
            _ => true,
        };
        assert!(fits, "{edit:?} at {}", after.event);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes_leave_a_valid_message_or_are_refused(
        event in select(&Event::ALL[..]),
        mode in select(&MODES[..]),
        bytes in output(),
    ) {
        let mut call = state(event, mode);
        let before = call.exchange.clone();
        match flat::apply(&mut call, &bytes) {
            Ok(()) => assert_eq!(bytes.first(), Some(&1), "a version that nobody knows"),
            Err(Failure::Validation(_)) => {}
            // Operation 9: the function's own words.
            Err(Failure::Execution(words)) => {
                let said = [vec![9], part(&words)].concat();
                assert!(bytes.windows(said.len()).any(|part| part == said), "{words}");
            }
            other => panic!("{other:?}"),
        }
        check(&before, &call.exchange);
    }
}

/// An answer that ends too soon is none; one that ends between two operations is whole.
#[test]
fn an_answer_is_whole_at_the_end_of_an_operation_and_nowhere_else() {
    for (event, own) in [
        (Event::OriginRequest, vec![[vec![1], part("/flat")], [vec![2], part("x=y")], [vec![10], part("green")]]),
        (Event::OriginResponse, vec![[vec![7], 404u16.to_le_bytes().to_vec()]]),
    ] {
        let mut operations: Vec<Vec<u8>> = own.iter().map(|parts| parts.concat()).collect();
        operations.extend([
            [vec![3], part("x-set"), part("v")].concat(),
            [vec![4], part("x-set"), part("w")].concat(),
            [vec![5], part("x-set")].concat(),
            [vec![6], part("body")].concat(),
            [vec![11, 2], part("said")].concat(),
        ]);
        if event.is_request() {
            operations.push(answer(200, &[(b"x-a".to_vec(), b"b".to_vec())], b"body"));
        }
        let (mut output, mut ends) = (vec![1u8], vec![1usize]);
        for operation in operations {
            output.extend(operation);
            ends.push(output.len());
        }
        for length in 0..=output.len() {
            let mut call = state(event, Mode::Strict);
            let before = call.exchange.clone();
            let done = flat::apply(&mut call, &output[..length]);
            match ends.contains(&length) {
                true => assert_eq!(done, Ok(()), "{length} at {event}"),
                false => match done {
                    Err(Failure::Validation(words)) => assert!(words.contains("no sequence"), "{words}"),
                    other => panic!("{length} at {event}: {other:?}"),
                },
            }
            check(&before, &call.exchange);
        }
    }
}

/// The reference's header tables, for operation 8 and for those that edit.
#[test]
fn names_that_functions_may_not_set_fail_the_call() {
    for (mode, event) in MODES.into_iter().flat_map(|mode| Event::ALL.map(|event| (mode, event))) {
        for (name, fate) in fates(mode, event) {
            let apply = |operation: Vec<u8>| {
                let mut call = state(event, mode);
                let done = flat::apply(&mut call, &[vec![1], operation].concat());
                (done.map_err(|failure| failure.to_string()), call.take_exchange())
            };
            let about = format!("{name} at {event}, {mode:?}");
            let why = match fate {
                Fate::Disallowed => Some("functions may not set it"),
                Fate::ReadOnly => Some("it is read-only at this event"),
                Fate::Edge | Fate::Sent => None,
            };
            let says = |done: Result<(), String>, why: &str| match done {
                Err(words) => assert!(words.starts_with("validation: ") && words.ends_with(why), "{about}: {words}"),
                Ok(()) => panic!("{about}: it was accepted"),
            };
            let (done, exchange) = apply(answer(200, &[(name.into(), b"1".to_vec())], b""));
            match (event.is_request(), why) {
                (false, _) => says(done, "there is no such thing at this event"),
                (true, Some(why)) => says(done, why),
                (true, None) => {
                    assert_eq!(done, Ok(()), "{about}");
                    let mut lines = exchange.answer().unwrap().headers.iter();
                    let sent = lines.any(|(own, value)| own == name && value == "1");
                    assert_eq!(sent, fate == Fate::Sent, "{about}");
                }
            }
            // At request events the table of edits is another one, but for what is disallowed.
            if event.is_request() && fate != Fate::Disallowed {
                continue;
            }
            for operation in [
                [vec![3], part(name), part("1")].concat(),
                [vec![4], part(name), part("1")].concat(),
                [vec![5], part(name)].concat(),
            ] {
                let (done, exchange) = apply(operation);
                match why {
                    Some(why) => {
                        says(done, why);
                        assert_eq!(exchange.edits(), [], "{about}");
                    }
                    None => assert_eq!(done, Ok(()), "{about}"),
                }
            }
        }
    }
}
