//! Hostile guests: each more often than there are slots, and the engine serves on.

use super::*;
use crate::hooks::limits::HOST_CALL_MAX;

/// Loads `module`, calls it more often than there are slots, and has every failure judged.
async fn attack(module: Vec<u8>, budget: Budget, expected: impl Fn(&Called) -> bool) {
    let bench = Bench::new();
    let good = good(&bench);
    let mut reused = spec("hostile");
    reused.reuse = 100;
    for spec in [spec("hostile"), reused] {
        let function = bench.load(&module, &spec);
        for _ in 0..SLOTS * 2 {
            let called = function.call(exchange(Event::ViewerRequest), budget).await;
            assert!(expected(&called), "{:?}: {:?}", called.outcome, called.logs);
            settled(&bench).await;
        }
        serves(&good).await;
    }
}

fn failed(called: &Called, words: &str) -> bool {
    matches!(&called.outcome, Err(Failure::Execution(text)) if text.contains(words))
}

#[tokio::test]
async fn an_endless_loop_ends_with_its_cpu_budget() {
    let cpu = Duration::from_millis(5);
    let module = Guest::default().module("(loop $l (br $l))");
    attack(module, Budget { cpu, ..budget() }, |called| called.outcome == Err(Failure::Cpu(cpu)) && called.cpu >= cpu)
        .await;
}

#[tokio::test]
async fn an_endless_loop_in_the_start_function_too() {
    let cpu = Duration::from_millis(5);
    let module = Guest::default().starting("(loop $l (br $l))");
    attack(module, Budget { cpu, ..budget() }, |called| called.outcome == Err(Failure::Cpu(cpu))).await;
}

#[tokio::test]
async fn a_loop_lets_others_run_and_the_wall_clock_ends_it() {
    let timeout = Duration::from_millis(20);
    let budget = Budget { cpu: Duration::from_secs(60), timeout, ..budget() };
    attack(Guest::default().module("(loop $l (br $l))"), budget, |called| {
        called.outcome == Err(Failure::Timeout(timeout))
    })
    .await;
}

#[tokio::test]
async fn a_memory_bomb_ends_with_its_memory() {
    let module = Guest::default()
        .module("(loop $l (if (i32.eq (memory.grow (i32.const 8)) (i32.const -1)) (then (unreachable))) (br $l))");
    attack(module, budget(), |called| called.outcome == Err(Failure::Memory(MEMORY)) && called.memory <= MEMORY).await;
}

#[tokio::test]
async fn a_smaller_bound_of_the_association_counts() {
    let module =
        Guest::default().module("(if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))");
    let memory = 1 << 20;
    attack(module, Budget { memory, ..budget() }, |called| called.outcome == Err(Failure::Memory(memory))).await;
}

#[tokio::test]
async fn a_table_grows_to_its_bound() {
    let mut guest = Guest::default();
    guest.items = "(table $t 1 funcref)".into();
    let module = guest.module(
        "(loop $l (if (i32.eq (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)) \
         (then (unreachable))) (br $l))",
    );
    attack(module, budget(), |called| failed(called, "unreachable")).await;
}

#[tokio::test]
async fn deep_recursion_ends_with_the_stack() {
    let mut guest = Guest::default();
    guest.items = "(func $deep (param i64) (result i64) (i64.add (call $deep (i64.add (local.get 0) (i64.const 1))) \
                   (local.get 0)))"
        .into();
    attack(guest.module("(drop (call $deep (i64.const 0)))"), budget(), |called| {
        failed(called, "call stack exhausted")
    })
    .await;
}

#[tokio::test]
async fn a_trap_shows_the_guests_stack() {
    let mut guest = Guest::default();
    guest.items = "(func $inner (unreachable)) (func $outer (call $inner))".into();
    attack(guest.module("(call $outer)"), budget(), |called| {
        let stack = &called.logs[0].message;
        failed(called, "unreachable") && stack.contains("inner") && stack.contains("outer")
    })
    .await;
}

#[tokio::test]
async fn a_trap_in_the_start_function_is_a_failure_of_the_call() {
    attack(Guest::default().starting("(unreachable)"), budget(), |called| failed(called, "unreachable")).await;
}

#[tokio::test]
async fn a_huge_log_is_cut_off() {
    let mut guest = Guest::default();
    let log = guest.import("log", "write", "(param i32 i32 i32)");
    let module =
        guest.module(&format!("(loop $l (call {log} (i32.const 0) (i32.const 0) (i32.const 100000)) (br $l))"));
    let cpu = Duration::from_millis(5);
    attack(module, Budget { cpu, ..budget() }, |called| {
        called.outcome == Err(Failure::Cpu(cpu))
            && called.logs.iter().map(|line| line.message.len()).sum::<usize>() < 100_000
    })
    .await;
}

#[tokio::test]
async fn endless_headers_are_refused_at_the_bound() {
    let mut guest = Guest::default();
    let append = guest.import("request", "append-header", "(param i32 i32 i32 i32 i32)");
    let name = guest.text("x-many");
    let module = guest.module(&format!(
        "(loop $l (call {append} {name} (i32.const 2048) (i32.const 0) (i32.const 0)) \
         (br_if $l (i32.eqz (i32.load8_u (i32.const 0))))) (unreachable)"
    ));
    attack(module, budget(), |called| failed(called, "unreachable") && called.exchange.request.headers.len() <= 256)
        .await;
}

#[tokio::test]
async fn pointers_out_of_memory_are_traps() {
    let mut guest = Guest::default();
    let log = guest.import("log", "write", "(param i32 i32 i32)");
    let module = guest.module(&format!("(call {log} (i32.const 0) (i32.const 1) (i32.const -1))"));
    attack(module, budget(), |called| failed(called, "out of bounds")).await;
}

#[tokio::test]
async fn calls_beyond_the_bound_fail_at_once() {
    let bench = Bench::new();
    let (good, endless) = (good(&bench), Guest::default().module("(loop $l (br $l))"));
    let mut one = spec("one");
    one.concurrency = 1;
    let function = bench.load(&endless, &one);
    let all = bench.load(&endless, &spec("all"));
    let budget = Budget { cpu: Duration::from_secs(60), timeout: Duration::from_secs(60), ..budget() };
    let run = |function: &Arc<Function>| {
        let function = function.clone();
        tokio::spawn(async move { function.call(exchange(Event::ViewerRequest), budget).await })
    };
    let first = run(&function);
    tokio::task::yield_now().await;
    assert_eq!(run(&function).await.unwrap().outcome, Err(Failure::Throttled(1)));
    let rest: Vec<_> = (1..SLOTS).map(|_| run(&all)).collect();
    tokio::task::yield_now().await;
    assert!(matches!(call(&good).await.outcome, Err(Failure::Exhausted(_))));
    for call in rest.into_iter().chain([first]) {
        call.abort();
        assert!(call.await.is_err());
    }
    settled(&bench).await;
    serves(&good).await;
}

#[tokio::test]
async fn a_cancelled_call_leaves_no_instance() {
    let bench = Bench::new();
    let mut reused = spec("reused");
    reused.reuse = 10;
    let function = bench.load(Guest::default().module("(loop $l (br $l))"), &reused);
    let budget = Budget { cpu: Duration::from_secs(60), ..budget() };
    for _ in 0..SLOTS * 2 {
        let call = function.call(exchange(Event::ViewerRequest), budget);
        assert!(tokio::time::timeout(Duration::from_millis(5), call).await.is_err());
        settled(&bench).await;
    }
    serves(&good(&bench)).await;
}

#[tokio::test]
async fn a_long_call_leaves_the_threads_of_requests_to_them() {
    let bench = Bench::new();
    let function = bench.load(Guest::default().module("(loop $l (br $l))"), &spec("long"));
    assert_eq!(call(&function).await.outcome, Err(Failure::Cpu(budget().cpu)));
    let policies: Vec<String> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|thread| thread.unwrap().path())
        .filter(|thread| std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| name == "functions-long\n"))
        .map(|thread| std::fs::read_to_string(thread.join("stat")).unwrap())
        // proc(5): the 41st field, the second is the name in parentheses.
        .map(|stat| stat.rsplit_once(") ").unwrap().1.split(' ').nth(38).unwrap().to_owned())
        .collect();
    const SCHED_IDLE: &str = "5";
    assert!(!policies.is_empty() && policies.iter().all(|policy| policy == SCHED_IDLE), "{policies:?}");
}

/// A list that would be ten times as large on the host as in the guest, and never ends well: who may ask nobody is told so before
/// any of it is read.
#[tokio::test]
async fn a_list_of_requests_without_the_grant_is_not_read() {
    let mut guest = Guest::default();
    let dynamic = guest.import("dynamic", "call", "(param i32 i32 i32 i32 i32)");
    let operation = guest.text("fetch.send-all");
    let one = r#"{"url":""},"#;
    let from = guest.text(one);
    let (size, at, end) = (one.len(), 131_072, 3_000_000);
    guest.items = "(global $at (mut i32) (i32.const 0))".into();
    let module = guest.module(&format!(
        "(drop (memory.grow (i32.const 46)))
         (i32.store8 (i32.const {at}) (i32.const 91))
         (global.set $at (i32.const {}))
         (loop $l
           (memory.copy (global.get $at) {from})
           (global.set $at (i32.add (global.get $at) (i32.const {size})))
           (br_if $l (i32.lt_u (global.get $at) (i32.const {end}))))
         (call {dynamic} {operation} (i32.const {at}) (i32.sub (global.get $at) (i32.const {at})) (i32.const 512))
         (if (i32.eqz (i32.load8_u (i32.const 512))) (then (loop $answered (br $answered))))
         (if (i32.ne (i32.load (i32.load (i32.const 516))) (i32.const 0x{:08x})) (then (loop $read (br $read))))
         (unreachable)",
        at + 1,
        u32::from_le_bytes(*b"deni"),
    ));
    let budget = Budget { cpu: Duration::from_secs(1), ..budget() };
    attack(module, budget, |called| failed(called, "unreachable")).await;
}

#[tokio::test]
async fn more_than_a_host_call_takes_is_a_trap() {
    let large = HOST_CALL_MAX + (1 << 20);
    let bench = Bench::with_memory(2 * HOST_CALL_MAX);
    let mut guest = Guest::default();
    let log = guest.import("log", "write", "(param i32 i32 i32)");
    let module = guest.module(&format!(
        "(drop (memory.grow (i32.const {}))) (call {log} (i32.const 0) (i32.const 131072) (i32.const {large}))",
        large.div_ceil(65_536) + 1
    ));
    let function = bench.load(module, &compiled::Function { memory: 2 * HOST_CALL_MAX, ..spec("large") });
    let budget = Budget { cpu: Duration::from_secs(5), memory: 2 * HOST_CALL_MAX, ..budget() };
    let called = function.call(exchange(Event::ViewerRequest), budget).await;
    assert!(failed(&called, "too much data"), "{:?}", called.outcome);
}

/// Memory never shrinks: what one hook let an instance have is not for another that allows less.
#[tokio::test]
async fn an_instance_that_grew_serves_no_call_with_less_memory() {
    let bench = Bench::new();
    let grow = Guest::default().module("(drop (memory.grow (i32.const 16)))");
    let function = bench.load(grow, &compiled::Function { reuse: 100, ..spec("reused") });
    let small = 1 << 20;
    assert!(call(&function).await.memory > small);
    let called = function.call(exchange(Event::ViewerRequest), Budget { memory: small, ..budget() }).await;
    called.outcome.unwrap();
    assert!(called.memory <= small, "{}", called.memory);
    // It was refused what it asked for, and serves no other call; the one that grew waits for its own.
    assert_eq!(bench.engine.instances(), 1);
    assert!(call(&function).await.memory > small);
    assert_eq!(bench.engine.instances(), 1);
}

#[tokio::test]
async fn idle_instances_make_room() {
    let bench = Bench::new();
    let mut reused = spec("reused");
    reused.reuse = 10;
    let idle: Vec<_> = (0..SLOTS).map(|_| bench.load(Guest::default().module(""), &reused)).collect();
    for function in &idle {
        call(function).await.outcome.unwrap();
    }
    assert_eq!(bench.engine.instances(), SLOTS);
    serves(&good(&bench)).await;
    assert_eq!(bench.engine.instances(), SLOTS - 1);
}
