//! Group: the processes of one environment, as one.
//!
//! In: the id of their leader. Out: stopped, woken, ended; how much memory they have. Never: processes of anyone else.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Processes that are counted; more than an environment has (1,024 processes and threads).
const MOST: usize = 1024;

/// A process group that this process started. The guard within (see `command`) keeps the id from being used anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group(Pid);

// === impl Group ===
impl Group {
    /// `leader` as the operating system gave it.
    pub(super) fn new(leader: u32) -> Option<Self> {
        i32::try_from(leader).ok().filter(|pid| *pid > 1).map(|pid| Group(Pid::from_raw(pid)))
    }

    pub(super) fn stop(self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(super) fn wake(self) {
        self.signal(Signal::SIGCONT);
    }

    /// Works on a stopped group too.
    pub(super) fn kill(self) {
        self.signal(Signal::SIGKILL);
    }

    fn signal(self, signal: Signal) {
        // There is nothing to do about a group that is gone already.
        if let Err(error) = killpg(self.0, signal) {
            log::debug!(target: "lambda", "{signal} to group {}: {error}", self.0);
        }
    }

    /// Bytes of memory that the leader and its descendants have now; those that left the tree are not seen.
    pub(super) fn resident(self) -> u64 {
        let mut open = vec![self.0.as_raw()];
        let (mut sum, mut seen) = (0, 0);
        while let Some(pid) = open.pop() {
            seen += 1;
            if seen > MOST {
                break;
            }
            sum += field(pid, "VmRSS:");
            for thread in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
                open.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<i32>().ok()));
            }
        }
        sum
    }

    /// The most memory that the leader ever had, in bytes.
    pub(super) fn peak(self) -> u64 {
        field(self.0.as_raw(), "VmHWM:")
    }
}

/// A size in /proc/PID/status, in bytes; 0 when it is not there.
fn field(pid: i32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kib(&status, name).unwrap_or(0) * 1024
}

fn kib(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        for (name, want) in [("VmRSS:", Some(1024)), ("VmHWM:", Some(2048)), ("VmSwap:", None)] {
            assert_eq!(kib(status, name), want, "{name}");
        }
        let own = Group::new(std::process::id()).unwrap();
        assert!(own.resident() > 0 && own.peak() > 0);
    }

    #[test]
    fn init_is_no_group_of_ours() {
        assert_eq!([0, 1, u32::MAX].map(Group::new), [None, None, None]);
    }
}
