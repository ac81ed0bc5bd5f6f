//! Exit codes: what a pipeline may rely on.

/// A process exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExitCode(pub u8);

impl ExitCode {
    /// The flow succeeded, or the command did what it was asked to.
    pub const SUCCESS: Self = Self(0);
    /// The flow failed, or the command could not do what it was asked to.
    pub const FAILURE: Self = Self(1);
    /// The command line does not make sense.
    pub const USAGE: Self = Self(2);
    /// Cluster, AWS or Prefect cannot be reached.
    pub const UNREACHABLE: Self = Self(69);
    /// A bug in sbrun.
    pub const INTERNAL: Self = Self(70);
    /// Lost to the infrastructure, or no machine in time: the same command may be run again.
    pub const TRY_AGAIN: Self = Self(75);
    /// Nothing says how the job ended, or it may still be running on a node that does not answer.
    pub const UNKNOWN: Self = Self(76);
    /// Not allowed: credentials, RBAC, IAM.
    pub const NOT_ALLOWED: Self = Self(77);
    /// Could never run as asked.
    pub const REJECTED: Self = Self(78);
    /// Ran longer than it may, or was silent for too long.
    pub const TIMED_OUT: Self = Self(124);
    /// sbrun was interrupted here; the job goes on.
    pub const DETACHED: Self = Self(130);
    /// Killed at a memory or storage limit.
    pub const KILLED: Self = Self(137);
    /// Somebody stopped the job.
    pub const CANCELLED: Self = Self(143);

    /// The table of the manual: code and meaning, in ascending order.
    pub const TABLE: &'static [(Self, &'static str)] = &[
        (Self::SUCCESS, "the flow succeeded; with --detach: the job exists"),
        (Self::FAILURE, "the flow failed with code 1, or with a code that means something here (then flow_exit_code has it)"),
        (Self::USAGE, "the command line does not make sense"),
        (Self::UNREACHABLE, "the cluster cannot be reached; after a creation repeat only with --key"),
        (Self::INTERNAL, "a bug in sbrun"),
        (Self::TRY_AGAIN, "lost to the infrastructure, or no machine in time: the same command may be run again"),
        (Self::UNKNOWN, "nothing says how the job ended, or it may still be running on a node that does not answer"),
        (Self::NOT_ALLOWED, "not allowed: credentials, RBAC"),
        (Self::REJECTED, "could never run as asked: flow, size, map, quota, admission, image, missing Secret"),
        (Self::TIMED_OUT, "ran longer than --timeout, or silent for --stall-timeout"),
        (Self::DETACHED, "sbrun was interrupted, the job goes on"),
        (Self::KILLED, "out of memory or out of disk: killed at a limit"),
        (Self::CANCELLED, "somebody stopped the job"),
    ];

    /// Codes of a flow that mean something else here; sbrun then exits 1 and reports the real one.
    pub const RESERVED: &'static [u8] = &[69, 70, 75, 76, 77, 78];

    /// Returns what sbrun exits with when a flow ended by itself with `code`.
    ///
    /// Signals (128 + n) and every code that is not reserved pass unchanged; 0 never gets here.
    #[must_use]
    pub fn of_failed_flow(code: i32) -> Self {
        match u8::try_from(code) {
            Ok(code) if code != 0 && !Self::RESERVED.contains(&code) => Self(code),
            _ => Self::FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_codes_of_a_flow_become_1() {
        for code in [69, 70, 75, 76, 77, 78, 0, 256, -1] {
            assert_eq!(ExitCode::of_failed_flow(code), ExitCode::FAILURE, "{code}");
        }
        assert_eq!(ExitCode::of_failed_flow(7), ExitCode(7));
        assert_eq!(ExitCode::of_failed_flow(143), ExitCode(143));
        assert_eq!(ExitCode::of_failed_flow(255), ExitCode(255));
    }
}
