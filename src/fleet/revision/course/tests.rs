//! Tests of the course: acts in any order and number, restarts, verdicts.

use super::*;

const MOST: usize = 8;

fn arrived(serial: u64, act: Act) -> Event {
    Event::Arrived { serial, act }
}

fn canary(pops: &[&str], percent: u8) -> Act {
    Act::Canary { pops: pops.iter().map(|pop| (*pop).to_owned()).collect(), percent }
}

/// Does all that is to be done.
fn settle(course: &mut Course, pop: &str, now: u64) {
    while let Some(want) = course.work(pop) {
        course.take(Event::Built(want), now, MOST);
    }
}

/// What is served: revision for all, revision and percent of the canary.
fn serves(course: &Course) -> (u64, Option<(u64, u8)>) {
    let running = course.running();
    (running.main.revision, running.canary.map(|(placed, percent)| (placed.revision, percent)))
}

#[test]
fn what_acts_come_to() {
    let promote = |serial| Act::Promote { serial };
    let rollback = |serial| Act::Rollback { serial };
    for (name, acts, want, mains) in [
        ("nothing yet", vec![], (0, None), (0, 0)),
        ("a deploy", vec![Act::Deploy], (1, None), (1, 0)),
        ("two", vec![Act::Deploy, Act::Deploy], (2, None), (2, 1)),
        ("a canary", vec![Act::Deploy, canary(&["FRA"], 10)], (1, Some((2, 10))), (1, 0)),
        ("in any case", vec![canary(&["fra"], 10)], (0, Some((1, 10))), (0, 0)),
        ("everywhere", vec![canary(&["NRT", "*"], 10)], (0, Some((1, 10))), (0, 0)),
        ("elsewhere", vec![Act::Deploy, canary(&["NRT"], 10)], (1, None), (1, 0)),
        ("another canary", vec![canary(&["FRA"], 1), canary(&["NRT"], 1)], (0, None), (0, 0)),
        ("promoted", vec![Act::Deploy, canary(&["NRT"], 10), promote(2)], (2, None), (2, 1)),
        ("another one promoted", vec![Act::Deploy, canary(&["FRA"], 10), promote(1)], (1, None), (1, 0)),
        ("ended", vec![Act::Deploy, canary(&["FRA"], 10), rollback(1)], (1, None), (1, 0)),
        ("overtaken", vec![canary(&["FRA"], 10), Act::Deploy, promote(1)], (2, None), (2, 0)),
        ("back", vec![Act::Deploy, Act::Deploy, rollback(1)], (1, None), (1, 2)),
        ("back to its own", vec![Act::Deploy, rollback(0)], (0, None), (0, 1)),
    ] {
        let mut course = Course::default();
        for (n, act) in acts.into_iter().enumerate() {
            course.take(arrived(n as u64 + 1, act), 0, MOST);
        }
        settle(&mut course, "FRA", 0);
        assert_eq!((serves(&course), course.mains()), (want, mains), "{name}");
    }
}

#[test]
fn a_bad_revision_is_left_and_what_was_there_is_served_again() {
    let mut course = Course::default();
    for serial in 1..=2 {
        course.take(arrived(serial, Act::Deploy), 0, MOST);
        settle(&mut course, "FRA", serial * 10);
    }
    assert_eq!(course.ack("FRA").map(|ack| (ack.serial, ack.state)), Some((2, AckState::Applied)));
    assert_eq!(course.watched(20).collect::<Vec<_>>(), [2]);
    assert_eq!(course.watched(20 + WATCH_MS).count(), 0, "it has proved itself");
    let judged = |act| Event::Judged { act, why: "slow".to_owned() };
    for (act, now) in [(1, 21), (2, 20 + WATCH_MS), (3, 21)] {
        course.take(judged(act), now, MOST);
        assert_eq!(course.work("FRA"), None, "{act} is not watched at {now}");
    }
    course.take(judged(2), 21, MOST);
    assert_eq!(course.ack("FRA"), None, "not before it is done");
    settle(&mut course, "FRA", 22);
    assert_eq!(serves(&course), (1, None));
    assert_eq!(course.watched(22).count(), 0, "what is gone back to is not judged again");
    let ack = course.ack("FRA").unwrap();
    assert_eq!((ack.serial, ack.state, ack.why.as_deref()), (2, AckState::RolledBack, Some("slow")));

    // Another node hears of it before, or after, it hears of the revision itself.
    for first in [true, false] {
        let mut other = Course::default();
        other.take(arrived(1, Act::Deploy), 0, MOST);
        let events = [Event::Heard(ack.bad.clone()), arrived(2, Act::Deploy)];
        let (one, two) = if first { (0, 1) } else { (1, 0) };
        for event in [&events[one], &events[two], &events[one]] {
            other.take(event.clone(), 0, MOST);
            settle(&mut other, "NRT", 0);
        }
        assert_eq!(serves(&other), (1, None));
        let told = other.ack("NRT").unwrap();
        assert_eq!((told.state, told.bad), (AckState::RolledBack, ack.bad.clone()), "it tells others");
    }
}

#[test]
fn a_revision_that_cannot_be_built_here_leaves_what_serves() {
    let mut course = Course::default();
    course.take(arrived(1, Act::Deploy), 0, MOST);
    settle(&mut course, "FRA", 0);
    course.take(arrived(2, Act::Deploy), 0, MOST);
    course.take(Event::Refused { act: 2, why: "edge.toml:1".to_owned() }, 0, MOST);
    assert_eq!((course.work("FRA"), serves(&course)), (None, (1, None)));
    let ack = course.ack("FRA").unwrap();
    assert_eq!((ack.state, ack.why.as_deref(), ack.serves), (AckState::Refused, Some("edge.toml:1"), 1));
    assert!(ack.bad.is_empty(), "others may be able to");
    course.take(arrived(3, Act::Deploy), 0, MOST);
    settle(&mut course, "FRA", 0);
    assert_eq!(course.ack("FRA").map(|ack| (ack.serial, ack.state)), Some((3, AckState::Applied)));
}

#[test]
fn what_was_refused_for_want_of_a_revision_is_built_when_it_comes() {
    let mut course = Course::default();
    course.take(arrived(2, Act::Rollback { serial: 1 }), 0, MOST);
    course.take(Event::Refused { act: 2, why: "not known here".to_owned() }, 0, MOST);
    settle(&mut course, "FRA", 0);
    assert_eq!(serves(&course), (0, None));
    course.take(arrived(1, Act::Deploy), 0, MOST);
    settle(&mut course, "FRA", 0);
    assert_eq!(serves(&course), (1, None));
    assert_eq!(course.ack("FRA").map(|ack| ack.state), Some(AckState::Applied));
}

#[test]
fn a_bad_canary_ends() {
    let mut course = Course::default();
    course.take(arrived(1, Act::Deploy), 0, MOST);
    course.take(arrived(2, canary(&["FRA"], 10)), 0, MOST);
    settle(&mut course, "FRA", 0);
    assert_eq!(course.ack("FRA").map(|ack| ack.state), Some(AckState::Canary));
    assert_eq!(course.ack("NRT"), None, "this would be another PoP's");
    let late = 10 * WATCH_MS;
    assert_eq!(course.watched(late).collect::<Vec<_>>(), [2], "as long as it lasts");
    course.take(Event::Judged { act: 2, why: "5xx".to_owned() }, late, MOST);
    settle(&mut course, "FRA", late);
    assert_eq!(serves(&course), (1, None));
    assert!(course.permits(&Act::Promote { serial: 2 }).is_err());
}

#[test]
fn what_is_permitted() {
    let mut course = Course::default();
    course.take(arrived(1, Act::Deploy), 0, MOST);
    course.take(arrived(2, canary(&["*"], 10)), 0, MOST);
    for (act, want) in [
        (Act::Deploy, true),
        (Act::Promote { serial: 2 }, true),
        (Act::Promote { serial: 1 }, false),
        (Act::Rollback { serial: 0 }, true),
        (Act::Rollback { serial: 1 }, true),
        (Act::Rollback { serial: 3 }, false),
    ] {
        assert_eq!(course.permits(&act).is_ok(), want, "{act:?}");
    }
}

#[test]
fn old_acts_are_forgotten_and_what_they_came_to_is_not() {
    let mut course = Course::default();
    course.take(arrived(1, Act::Deploy), 0, MOST);
    for serial in 2..=20 {
        course.take(arrived(serial, canary(&["*"], 1)), 0, MOST);
    }
    settle(&mut course, "FRA", 0);
    assert_eq!((serves(&course), course.mains().0), ((1, Some((20, 1))), 1));
    assert_eq!(course.kept(), [1].into_iter().chain(12..=20).collect());
    // Published again long after: it has its place in the past.
    course.take(arrived(5, Act::Deploy), 0, MOST);
    assert_eq!(course.work("FRA"), None);
    assert!(course.knows(5) && !course.knows(21));
    // What is left of them can turn out not to be buildable after a restart.
    course.begun(Placed::default());
    course.take(Event::Refused { act: 1, why: String::new() }, 0, MOST);
    settle(&mut course, "FRA", 0);
    assert_eq!(serves(&course).0, 0);
}

/// xorshift64*: the same runs every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// Nodes of several PoPs: messages come in another order to each, some twice, some after a restart; every node may find what it watches
/// bad. Once all of it has come everywhere, all serve the same, and it is nothing that one of them found bad.
#[test]
fn nodes_agree_whatever_came_when_and_how_often() {
    const POPS: [&str; 4] = ["FRA", "FRA", "NRT", "IAD"];
    for seed in 1..=3000 {
        let mut dice = Dice(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let mut acts: Vec<(u64, Act)> = Vec::new();
        for n in 0..=dice.roll(MOST as u64 - 1) {
            let earlier = acts.get(dice.roll(n.max(1)) as usize).map_or(0, |(serial, _)| *serial);
            let act = match dice.roll(5) {
                0 | 1 => Act::Deploy,
                2 => canary(&[["FRA", "NRT", "*"][dice.roll(3) as usize]], 10),
                3 => Act::Promote { serial: earlier },
                _ => Act::Rollback { serial: earlier },
            };
            acts.push((acts.last().map_or(1, |(serial, _)| serial + 1 + dice.roll(3)), act));
        }
        let mut nodes = vec![Course::default(); POPS.len()];
        let mut verdicts: Vec<BTreeMap<u64, String>> = Vec::new();
        let mut now = 0;
        for _ in 0..60 {
            now += 1;
            let n = dice.roll(POPS.len() as u64) as usize;
            let event = match dice.roll(8) {
                0 if !verdicts.is_empty() => Event::Heard(verdicts[dice.roll(verdicts.len() as u64) as usize].clone()),
                1 => match nodes[n].watched(now).next() {
                    Some(act) => Event::Judged { act, why: "bad".to_owned() },
                    None => continue,
                },
                2 => {
                    // A restart: what is on disk is read, and canaries are built again.
                    let kept = serde_json::to_vec(&nodes[n]).unwrap();
                    let mut again: Course = serde_json::from_slice(&kept).unwrap();
                    assert_eq!(again, nodes[n]);
                    let main = again.running().main;
                    again.begun(main);
                    nodes[n] = again;
                    continue;
                }
                3 => match nodes[n].work(POPS[n]) {
                    Some(want) => Event::Built(want),
                    None => continue,
                },
                _ => {
                    let (serial, act) = &acts[dice.roll(acts.len() as u64) as usize];
                    arrived(*serial, act.clone())
                }
            };
            nodes[n].take(event, now, MOST);
            verdicts.extend(nodes[n].ack(POPS[n]).map(|ack| ack.bad).filter(|bad| !bad.is_empty()));
        }
        // Everything comes everywhere, and then what each of them tells.
        for (node, pop) in nodes.iter_mut().zip(POPS) {
            for (serial, act) in &acts {
                node.take(arrived(*serial, act.clone()), now, MOST);
            }
            settle(node, pop, now);
        }
        let told: Vec<_> = nodes.iter().zip(POPS).map(|(node, pop)| node.ack(pop).unwrap().bad).collect();
        for (node, pop) in nodes.iter_mut().zip(POPS) {
            told.iter().for_each(|bad| node.take(Event::Heard(bad.clone()), now, MOST));
            settle(node, pop, now);
        }
        let bad: BTreeSet<u64> = told.iter().flat_map(|bad| bad.keys().copied()).collect();
        for (node, pop) in nodes.iter().zip(POPS) {
            assert_eq!(node.mains(), nodes[0].mains(), "seed {seed}");
            assert_eq!(node.running().main, nodes[0].running().main, "seed {seed}");
            assert!(!bad.contains(&node.running().main.act), "seed {seed}");
            assert!(node.running().canary.is_none_or(|(placed, _)| !bad.contains(&placed.act)), "seed {seed}");
            let revision = node.running().main.revision;
            assert!(revision == 0 || node.kept().contains(&revision), "seed {seed}: its files are kept");
            let mut twice = node.clone();
            acts.iter().for_each(|(serial, act)| twice.take(arrived(*serial, act.clone()), now, MOST));
            assert_eq!(&twice, node, "seed {seed}: what comes again changes nothing");
            assert_eq!(node.ack(pop).map(|ack| ack.serial), acts.last().map(|(serial, _)| *serial));
        }
    }
}
