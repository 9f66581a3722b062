//! A panic of any thread ends the process with a failure, and the process says so.

use std::process::{Command, Stdio};

const CHILD: &str = "RINGCHAT_TEST_PANIC_CHILD";

/// Not a check of its own: the body of the process that the test below starts.
#[test]
fn child_whose_thread_panics() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    ringchat::server::die_on_panic();
    let thread = std::thread::Builder::new().name("ringchat-w0".into());
    let _ = thread.spawn(|| panic!("a defect")).unwrap().join();
    std::process::exit(0); // reached only if the panic killed nothing but its thread
}

#[test]
fn a_panic_ends_the_process() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "panics::child_whose_thread_panics", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert_eq!(child.status.code(), Some(1), "{said}");
    assert!(said.contains("ringchat-w0") && said.contains("a defect"), "{said}");
    assert!(said.contains("ringchat ends"), "{said}");
}
