//! Why a ring cannot be made or used, in words that name the cure. Tests: `tests.rs`.

use std::fmt;
use std::io;

/// Why there is no ring. Its `Display` is one line: the cause, and the cure.
#[derive(Debug)]
pub enum RingError {
    /// The kernel refused to make a ring.
    Setup(io::Error),
    /// The kernel's io_uring lacks this operation.
    Missing(&'static str),
    /// The ring was made but does not work.
    Run(io::Error),
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match self {
            RingError::Missing(operation) => {
                return write!(
                    f,
                    "io_uring lacks the operation {operation}: use Linux 5.10 or newer"
                );
            }
            RingError::Run(error) => {
                return write!(f, "an io_uring ring was made but does not work: {error}");
            }
            RingError::Setup(error) => error,
        };
        write!(f, "cannot create an io_uring ring: ")?;
        match error.raw_os_error() {
            Some(libc::ENOSYS) => f.write_str(
                "this kernel has no io_uring (ENOSYS); use Linux 5.10 or newer, built with \
                 CONFIG_IO_URING",
            ),
            Some(libc::EPERM) => f.write_str(
                "not permitted (EPERM); `sysctl kernel.io_uring_disabled` must show 0 (set it with \
                 `sysctl -w kernel.io_uring_disabled=0`), and in a container the seccomp profile \
                 must allow io_uring_setup, io_uring_enter and io_uring_register (Docker: \
                 --security-opt seccomp=PROFILE.json)",
            ),
            Some(libc::ENOMEM) => f.write_str(
                "no memory for its queues (ENOMEM); before Linux 5.12 they count against the \
                 locked-memory limit: see `ulimit -l`, raise it (systemd: LimitMEMLOCK=infinity), \
                 or use fewer workers",
            ),
            Some(libc::EMFILE) => f.write_str(
                "the process has too many open files (EMFILE); see `ulimit -n`, raise it (systemd: \
                 LimitNOFILE=)",
            ),
            Some(libc::ENFILE) => f.write_str(
                "the machine has too many open files (ENFILE); raise `sysctl fs.file-max`",
            ),
            _ => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for RingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RingError::Setup(error) | RingError::Run(error) => Some(error),
            RingError::Missing(_) => None,
        }
    }
}
